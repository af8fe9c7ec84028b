# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# Functions for a packages action: apt on the Debian family, dnf on the Red Hat family.
export DEBIAN_FRONTEND=noninteractive DEBIAN_PRIORITY=critical UCF_FORCE_CONFFOLD=1 APT_LISTCHANGES_FRONTEND=none NEEDRESTART_SUSPEND=1
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

if command -v apt-get >/dev/null; then FAMILY=debian; elif command -v dnf >/dev/null; then FAMILY=redhat; else
  fail "neither apt-get nor dnf is on this node: its packages cannot be managed"
fi

apt() {
  apt-get -y -q -o DPkg::Lock::Timeout="$LOCK" -o APT::Install-Recommends=false \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 $OPTIONS $PROXY "$@"
}

# The controller's own repositories ($OWN, names of sources). Where they come through the held connection ($WAY, the file with
# its port) they are fetched by proxy, and their sources are disabled for all others: nothing answers when nobody deploys.
OPTIONS=
PROXY=
REPOSITORIES=
own() {
  for x in $OWN; do
    if [ "$FAMILY" = redhat ] && [ -e "/etc/yum.repos.d/$x.repo" ]; then
      REPOSITORIES="$REPOSITORIES $x"
    elif [ "$FAMILY" = debian ] && [ -e "/etc/apt/sources.list.d/$x.sources" ]; then
      mkdir -p "$FOLDER/own" "$FOLDER/sources"
      sed 's/^Enabled: no$/Enabled: yes/' "/etc/apt/sources.list.d/$x.sources" >"$FOLDER/own/$x.sources" || exit 1
      cp "$FOLDER/own/$x.sources" "$FOLDER/sources/" || exit 1
      REPOSITORIES="$REPOSITORIES $x"
    else
      echo "the repository $x is not known here: the task 'repository' of its plugin has not run on this node"
    fi
  done
  [ -n "$REPOSITORIES" ] && [ "$FAMILY" = debian ] || return 0
  for x in /etc/apt/sources.list.d/*; do
    [ -e "$FOLDER/sources/${x##*/}" ] || [ ! -e "$x" ] || ln -s "$x" "$FOLDER/sources/"
  done
  OPTIONS="-o Dir::Etc::sourceparts=$FOLDER/sources"
}

# the port changes when the controller connects anew
reach() {
  [ -n "$WAY" ] && [ -n "$REPOSITORIES" ] || return 0
  port=1
  [ -r "$WAY" ] && read -r port <"$WAY"
  if [ "$FAMILY" = debian ]; then
    PROXY="-o Acquire::http::Proxy::$PROXIED=http://127.0.0.1:$port -o Acquire::http::Timeout=30"
  else
    PROXY=
    for x in $REPOSITORIES; do PROXY="$PROXY --setopt=$x.proxy=http://127.0.0.1:$port"; done
  fi
}

# apt with what comes from the controller. While nobody answers there, because it is started anew perhaps, it is asked again.
patiently() {
  waited=0
  while :; do
    reach
    said=$(export LC_ALL=C; apt "$@" 2>&1) && { printf '%s\n' "$said"; return 0; }
    s=$?
    case $WAY$said in
      *"Could not get lock"*) why="another package manager is at work" ;;
      /*127.0.0.1*onnect* | /*onnect*127.0.0.1* | /*127.0.0.1*"reading from server"* | /*"reading from server"*127.0.0.1*)
        why="nobody answers at the controller's end of the way to its repositories"
        ;;
      *) why= ;;
    esac
    [ -n "$why" ] && [ "$waited" -lt "$PATIENCE" ] || { printf '%s\n' "$said"; return $s; }
    [ $waited -gt 0 ] || echo "$why: asking again"
    waited=$((waited + 2))
    sleep 2
  done
}

# the package lists of the controller's repositories, and no others
own_lists() {
  [ -n "$REPOSITORIES" ] || return 0
  patiently -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$FOLDER/own" -o APT::Get::List-Cleanup=0 \
    -o APT::Update::Error-Mode=any -o Acquire::Retries=0 update || fail "the controller's package repositories cannot be used:$REPOSITORIES"
}

# an installation that was broken off is finished first
recover() {
  [ "$FAMILY" = debian ] || return 0
  [ -z "$(dpkg --audit)" ] && [ -z "$(find /var/lib/dpkg/updates -type f -name '[0-9]*' 2>/dev/null)" ] && return 0
  echo "dpkg was interrupted: finishing what it began"
  while ! x=$(dpkg --configure -a --force-confdef --force-confold 2>&1); do
    case $x in *"lock"*) sleep 3 ;; *) printf '%s\n' "$x"; break ;; esac
  done
  apt -f install
}

# NAME -> its installed version, or nothing
installed() {
  if [ "$FAMILY" = debian ]; then
    x=$(dpkg-query -W -f '${db:Status-Status} ${Version}\n' -- "$1" 2>/dev/null | grep '^installed ') || return 0
    printf '%s\n' "${x#installed }"
  else
    rpm -q --qf '%{EPOCHNUM}:%{VERSION}-%{RELEASE}\n' -- "$1" 2>/dev/null || :
  fi
}

# A OPERATOR B: compare two versions
compare() {
  if [ "$FAMILY" = debian ]; then
    dpkg --compare-versions "$1" "$2" "$3"
    return
  fi
  case $1$3 in *[!A-Za-z0-9.+~^_-]*) fail "the versions $1 and $3 cannot be compared" ;; esac
  order=$(rpm --eval "%{lua:print(rpm.vercmp('$1', '$3'))}") || fail "the versions $1 and $3 cannot be compared"
  case $2 in
    eq) [ "$order" -eq 0 ] ;;
    ne) [ "$order" -ne 0 ] ;;
    ge) [ "$order" -ge 0 ] ;;
    le) [ "$order" -le 0 ] ;;
    gt) [ "$order" -gt 0 ] ;;
    lt) [ "$order" -lt 0 ] ;;
  esac
}

# VERSION CONSTRAINTS (comma-separated, on the upstream version)
fits() {
  upstream=${1#*:}
  case $upstream in *-*) upstream=${upstream%-*} ;; esac
  rest=$2,
  while [ -n "$rest" ]; do
    part=$(printf %s "${rest%%,*}" | tr -d ' ')
    rest=${rest#*,}
    case $part in
      '') continue ;;
      '>='*) op=ge ;; '<='*) op=le ;; '=='*) op=eq ;; '!='*) op=ne ;;
      '>'*) op=gt ;; '<'*) op=lt ;; '='*) op=eq ;; [0-9]*) op=eq ;;
      *) fail "the constraint $part on a package's version is not understood" ;;
    esac
    compare "$upstream" $op "$(printf %s "$part" | sed 's/^[<>=!]*//')" || return 1
  done
}

# NAME VERSION CONSTRAINTS: add to $wanted what is not there yet
want() {
  have=$(installed "$1")
  if [ -n "$have" ] && { [ -z "$2" ] || [ "$have" = "$2" ]; } && fits "$have" "$3"; then
    echo "$1 $have is installed"
    return 0
  fi
  if [ -z "$2" ]; then wanted="$wanted $1"; elif [ "$FAMILY" = debian ]; then wanted="$wanted $1=$2"; else wanted="$wanted $1-${2#0:}"; fi
}

# install $wanted; package lists are fetched when a name or version is not known, or a file has gone from the archive
install_wanted() {
  [ -n "$wanted" ] || return 0
  if [ "$FAMILY" = redhat ]; then
    reach
    for x in $REPOSITORIES; do PROXY="$PROXY --enablerepo=$x"; done
    dnf -y install --setopt=install_weak_deps=False $PROXY $wanted
    return
  fi
  own_lists
  fresh=
  if ! apt-cache $OPTIONS show $wanted >/dev/null 2>&1; then
    apt update
    fresh=1
  fi
  fetch_and_install && return 0
  s=$?
  [ -z "$fresh" ] || return $s
  echo "trying again with fresh package lists"
  apt update
  fetch_and_install
}

# what comes from the controller is fetched first: from then on its end does not matter
fetch_and_install() {
  [ -z "$REPOSITORIES" ] || patiently --allow-downgrades --download-only install $wanted || return
  apt --allow-downgrades install $wanted
}

# NAME VERSION CONSTRAINTS
check() {
  have=$(installed "$1")
  if [ -z "$have" ]; then
    [ -z "$2$3" ] && [ "$FAMILY" = debian ] && apt-cache showpkg -- "$1" 2>/dev/null | sed '1,/^Reverse Provides/d' | grep -q . && return 0
    fail "package $1 is not installed"
  fi
  [ -z "$2" ] || [ "$have" = "$2" ] || fail "package $1: installed version $have is not the planned $2"
  fits "$have" "$3" || fail "package $1: installed version $have does not fit $3"
}

# NAME...: purge these and nothing else
purge() {
  gone=
  for x; do
    if [ "$FAMILY" = debian ]; then
      dpkg-query -W -f '${db:Status-Status}\n' -- "$x" 2>/dev/null | grep -qv '^not-installed' && gone="$gone $x"
    elif [ -n "$(installed "$x")" ]; then
      gone="$gone $x"
    fi
  done
  [ -n "$gone" ] || return 0
  if [ "$FAMILY" = redhat ]; then
    dnf -y remove --noautoremove $gone
    return
  fi
  others=$(apt-get -s -q purge $gone | sed -n 's/^\(Purg\|Remv\) \([^ :]*\).*/\2/p' | while read -r x; do
    case "$gone " in *" $x "*) ;; *) printf ' %s' "$x" ;; esac
  done)
  [ -z "$others" ] || fail "not removed:$gone: other packages that nobody asked to remove would go with them:$others"
  apt purge $gone
}
