# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# service NAME STATE ENABLED RESTART READY: bring a systemd unit into a state (ENABLED yes, no or empty; RESTART restart, reload or
# empty; READY shell text that exits 0 when the service works, or empty: the attempt's own limit ends a wait for it).
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

try() {
  "$@" && return 0
  systemctl status --no-pager --lines=20 -- "$name" || :
  fail "$* failed"
}

ready() {
  said=$(sh -c "$1" 2>&1) && return 0
  echo "waiting until it works: $1: $said"
  until sh -c "$1" >/dev/null 2>&1; do
    sleep 0.5
    if systemctl is-failed -q -- "$name"; then try false; fi
  done
}

service() {
  name=$1
  command -v systemctl >/dev/null || fail "systemctl is not on this node: services cannot be managed"
  x=$(systemctl show -p LoadState,ActiveState,NeedDaemonReload -- "$name") || fail "systemd does not answer"
  case $x in *NeedDaemonReload=yes*) systemctl daemon-reload && x=$(systemctl show -p LoadState,ActiveState -- "$name") ;; esac
  case $x in
    *LoadState=not-found*)
      [ "$2" = stopped ] && { echo "there is no unit $name"; return 0; }
      systemctl daemon-reload
      systemctl show -p LoadState -- "$name" | grep -q not-found && fail "there is no unit $name"
      ;;
  esac
  [ "$3" = yes ] && try systemctl -q enable -- "$name"
  [ "$3" = no ] && try systemctl -q disable -- "$name"
  if [ "$2" = stopped ]; then
    try systemctl stop -- "$name"
  else
    case $4,$x in
      restart,*) try systemctl restart -- "$name" ;;
      reload,*ActiveState=active*) try systemctl reload-or-restart -- "$name" ;;
      *) try systemctl start -- "$name" ;;
    esac
    systemctl is-active -q -- "$name" || case $(systemctl show -p ActiveState,Type -- "$name") in
      *ActiveState=failed*) try false ;;
    esac
    [ -z "$5" ] || ready "$5"
  fi
  echo "$name is $2"
}
