# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# wait_for HOST PORT FILE INTERVAL: look until the file is there or the port answers; the attempt's timeout ends it.
answers() {
  if command -v bash >/dev/null; then
    timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
  elif command -v python3 >/dev/null; then
    timeout 7 python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)' "$1" "$2" 2>/dev/null
  else
    echo "waiting for a port needs bash or python3 on the node; neither is there" >&2
    exit 127
  fi
}

wait_for() {
  echo "waiting for ${3:+file $3 }${2:+port $2 of $1}"
  while :; do
    { [ -z "$3" ] || [ -e "$3" ]; } && { [ -z "$2" ] || answers "$1" "$2"; } && break
    sleep "$4"
  done
  echo "it is there"
}
