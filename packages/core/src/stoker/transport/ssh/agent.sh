# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# The agent: functions for the one long-lived POSIX sh on a node. S_ROOT and S_TOKEN are set before this text.
# Every request is one `{ ...; }`: if the connection breaks inside it, the shell sees a syntax error and runs nothing of it.
# An answer is any output followed by a line "@TOKEN SEQUENCE WORDS..."; the token is random, so no output can look like one.
umask 077
cd /
trap : HUP PIPE
exec 2>/dev/null
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
unset SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_ORIGINAL_COMMAND SUDO_COMMAND
S=$S_ROOT/spool

S_say() {
  q=$1
  shift
  printf '\n@%s %s %s\n' "$S_TOKEN" "$q" "$*"
}

# start time of process $1 in clock ticks -> $r; with it a process id names one process for ever
S_start_of() {
  r=
  [ -r "/proc/$1/stat" ] && read -r r <"/proc/$1/stat" || return 1
  r=${r##*) }
  set -- $r
  r=${20}
}

S_alive() {
  [ -n "$2" ] && S_start_of "$1" && [ "$r" = "$2" ]
}

# SEQUENCE: make the spool, remove what a dead agent left half written, and say who we are
S_hello() {
  e=$(mkdir -p "$S" 2>&1 && chmod 700 "$S_ROOT" "$S" 2>&1) || { S_say "$1" error "$e"; return; }
  read -r S_BOOT </proc/sys/kernel/random/boot_id
  S_start_of $$
  S_ME="$$ $r"
  [ -s "$S/id" ] || {
    read -r e </proc/sys/kernel/random/uuid
    # whoever links first names the spool
    printf '%s\n' "$e" >"$S/.id.$$" && ln "$S/.id.$$" "$S/id"
    rm -f "$S/.id.$$"
  }
  S_ID=
  read -r S_ID <"$S/id"
  [ -n "$S_ID" ] || { S_say "$1" error "$(head -c 4096 /dev/zero 2>&1 >"$S/.probe")"; rm -f "$S/.probe" "$S/id"; return; }
  for f in "$S"/.new.*; do
    [ -e "$f" ] || continue
    p=${f#"$S"/.*.}
    p=${p%%.*}
    S_alive "${p%-*}" "${p#*-}" || rm -rf "$f"
  done
  for f in "$S"/*/env "$S"/*/c.*; do
    [ -e "$f" ] || continue
    S_state "${f%/*}"
    [ "$state" = running ] || rm -f "$f"
  done
  # of what an earlier boot broke off nobody will ever know more: a day later its output, which may hold a secret, goes too
  find "$S" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -mmin +1440 | while IFS= read -r f; do
    [ -e "$f/end" ] && continue
    boot=
    read -r boot r <"$f/claim"
    [ "$boot" = "$S_BOOT" ] || rm -rf "$f"
  done
  read -r u r </proc/uptime
  S_say "$1" hello "$S_BOOT" "$S_ID" "$(date +%s.%N)" "$u" "$S_ME"
}

# SEQUENCE ATTEMPT: begin to write an attempt beside its place
S_begin() {
  q=$1
  a=$2
  d=$S/$2
  t=
  [ -d "$d" ] && { S_say "$q" exists; return 1; }
  t=$S/.new.${S_ME% *}-${S_ME#* }.$a
  e=$(mkdir "$t" 2>&1) || { S_say "$q" error "$e"; return 1; }
}

S_text() { printf '%s\n' "$2" >"$t/$1"; }

S_binary() { printf '%s' "$2" | base64 -d >"$t/$1" && [ "$(wc -c <"$t/$1")" -eq "$3" ]; }

# the attempt could not be written: say why, and leave nothing
S_refuse() {
  e=$(head -c 65536 /dev/zero 2>&1 >"$t/probe")
  rm -rf "$t"
  S_say "$q" error "${e:-the attempt could not be written completely}"
}

# SECONDS: claim by one rename, start detached, wait, answer. The spare bytes in end.new keep room on a full disk.
S_claim() {
  printf '%s %s\n' "$S_BOOT" "$S_ME" >"$t/claim" && printf '%80s\n' . >"$t/end.new" && : >"$t/out" || { S_refuse; return; }
  mv -T "$t" "$d" || {
    rm -rf "$t"
    [ -d "$d" ] && S_say "$q" exists || S_say "$q" error "the attempt could not be claimed"
    return
  }
  setsid sh -c "$S_RUN" stoker "$d" "$1" </dev/null >"$d/out" 2>&1
  S_result "$q" "$d" $?
}

# What runs detached: FOLDER SECONDS
S_RUN='umask 022
d=$1
T=$2
read -r l </proc/self/stat
l=${l##*) }
set -- $l
printf "%s %s\n" $$ ${20} >"$d/pid"
read -r u l </proc/uptime
if [ -f "$d/before" ]; then set -- "$d/before"; else set -- -e "$d/run"; fi
timeout -k 5 "$T" sh "$@"
s=$?
read -r v l </proc/uptime
[ $s = 137 ] && [ $((${v%.*} - ${u%.*} + 1)) -ge "${T%.*}" ] && s=124
for f in "$d"/env "$d"/c.*; do [ -e "$f" ] && rm -f "$f"; done
[ -e "$d/rebooting" ] && [ $s -gt 123 ] && sleep 60
c=1
[ -e "$d/unchanged" ] && c=0
printf "%s %s %s %s\n" $s $c $u $v 1<>"$d/end.new" && mv "$d/end.new" "$d/end"
exit $s'

# SEQUENCE FOLDER STATUS: the tail of the output and the end; the process status if the end could not be written
S_result() {
  o=
  # read first, so that all leaves in one write and one packet; the dot keeps empty lines at the end
  [ -s "$2/out" ] && o=$(tail -c 16384 "$2/out" && echo .)
  x=
  [ -e "$2/end" ] && read -r x <"$2/end"
  if [ -n "$x" ]; then x="end $x"; else x="gone $3"; fi
  printf '%s\n@%s %s %s\n' "${o%.}" "$S_TOKEN" "$1" "$x"
}

# FOLDER -> $state, $boot
S_state() {
  n=0
  boot=
  while :; do
    [ -d "$1" ] || { state=missing; return; }
    read -r boot cp cs <"$1/claim"
    [ -e "$1/end" ] && { state=finished; return; }
    state=claimed
    [ "$boot" = "$S_BOOT" ] || return
    p=
    [ -e "$1/pid" ] && read -r p ps <"$1/pid"
    if [ -n "$p" ]; then
      S_alive "$p" "$ps" && { state=running; return; }
      [ -e "$1/end" ] && state=finished
      return
    fi
    # claimed a moment ago by another agent that is still at it: wait for its process id
    n=$((n + 1))
    [ $n -gt 5 ] && ! S_alive "$cp" "$cs" && return
    [ $n -gt 50 ] && return
    sleep 0.1
  done
}

S_look() {
  S_state "$S/$2"
  S_say "$1" "$state" "$boot"
}

# SEQUENCE ATTEMPT SECONDS
S_attach() {
  S_state "$S/$2"
  read -r u r </proc/uptime
  until=$((${u%.*} + $3))
  while [ "$state" = running ]; do
    sleep 0.2
    S_state "$S/$2"
    read -r u r </proc/uptime
    [ "${u%.*}" -ge "$until" ] && break
  done
  if [ "$state" = finished ]; then S_result "$1" "$S/$2" 0; else S_say "$1" "$state" "$boot"; fi
}

# SEQUENCE ATTEMPT: the reboot that this attempt asked for has happened
S_rebooted() {
  d=$S/$2
  [ -e "$d/rebooting" ] && [ -e "$d/end.new" ] && {
    printf '0 1 0 0\n' 1<>"$d/end.new" && mv "$d/end.new" "$d/end"
  }
  S_result "$1" "$d" 0
}

# SEQUENCE ATTEMPT...
S_forget() {
  q=$1
  shift
  for a; do
    [ -e "$S/$a/end" ] && rm -rf "$S/$a"
  done
  S_say "$q" done
}

# SEQUENCE NAME PORT: keep the port at which the held connection leads to the controller's repositories
S_way() {
  e=$(mkdir -p "$S_ROOT/ways" 2>&1 && printf '%s\n' "$3" 2>&1 >"$S_ROOT/ways/.$2" && mv "$S_ROOT/ways/.$2" "$S_ROOT/ways/$2" 2>&1) || {
    S_say "$1" error "$e"
    return
  }
  S_say "$1" done
}

# SEQUENCE PATH...: mode, owner, group and size of each, then the sums of the files among them
S_observe() {
  q=$1
  shift
  stat --printf='%f %U %G %a %s %n\0' -- "$@"
  printf '\0'
  for x; do [ -f "$x" ] && [ ! -L "$x" ] && [ -r "$x" ] && sha256sum -z -- "$x"; done
  printf '\0'
  S_say "$q" seen
}

# SEQUENCE PATH...: what small files hold
S_contents() {
  q=$1
  shift
  for x; do
    [ -f "$x" ] && [ ! -L "$x" ] && [ "$(stat -c %s -- "$x")" -le 262144 ] && {
      printf '%s\0' "$x"
      base64 -w0 -- "$x"
      printf '\0'
    }
  done
  S_say "$q" seen
}

S_packages() {
  q=$1
  shift
  if command -v dpkg-query >/dev/null; then
    dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' -- "$@"
  elif command -v rpm >/dev/null; then
    rpm -q --qf 'installed %{NAME} %{EPOCHNUM}:%{VERSION}-%{RELEASE}\n' -- "$@"
  fi
  S_say "$q" seen
}

S_units() {
  q=$1
  shift
  command -v systemctl >/dev/null && systemctl show --no-pager -p LoadState,ActiveState,UnitFileState -- "$@"
  S_say "$q" seen
}

S_facts() {
  printf 'hostname %s\nkernel %s\narchitecture %s\ncpus %s\n' "$(uname -n)" "$(uname -r)" "$(uname -m)" "$(nproc)"
  for f in /etc/os-release /usr/lib/os-release; do
    [ -r "$f" ] && { while read -r x; do printf 'os %s\n' "$x"; done <"$f"; break; }
  done
  while read -r k v r; do [ "$k" = MemTotal: ] && { printf 'memory %s\n' "$v"; break; }; done </proc/meminfo
  for f in /sys/block/*; do
    n=${f##*/}
    case $n in loop* | ram* | zram* | fd* | sr* | dm-* | md*) continue ;; esac
    [ -r "$f/size" ] || continue
    v= o=0 x=
    read -r v <"$f/size"
    [ -r "$f/queue/rotational" ] && read -r o <"$f/queue/rotational"
    [ -r "$f/device/model" ] && read -r x <"$f/device/model"
    printf 'disk %s %s %s %s\n' "$n" "$v" "$o" "$x"
  done
  for f in /sys/class/net/*; do
    n=${f##*/}
    [ "$n" = lo ] || [ ! -r "$f/address" ] && continue
    v= o=
    read -r v <"$f/address"
    read -r o <"$f/operstate"
    printf 'nic %s %s %s\n' "$n" "${o:--}" "$v"
  done
  command -v ip >/dev/null && ip -o addr show | while read -r x n k v r; do printf 'address %s %s\n' "$n" "$v"; done
  S_say "$1" seen
}
