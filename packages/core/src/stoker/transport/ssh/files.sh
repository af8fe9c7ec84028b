# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# Functions for a files action; FOLDER is the attempt's folder, ORIGINALS where originals are kept.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# PATH KEY: keep what was at PATH before us, once. A folder of originals is complete or not there.
keep() {
  o=$ORIGINALS/$2
  [ -d "$o" ] && return 0
  n=$ORIGINALS/.new-$2
  rm -rf "$n"
  (umask 077 && mkdir -p "$ORIGINALS" && mkdir "$n") || fail "$1: the original cannot be kept"
  printf '%s\n' "$1" >"$n/path"
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    stat -c '%u:%g %a' -- "$1" >"$n/directory"
  elif [ -e "$1" ] || [ -L "$1" ]; then
    cp -a -- "$1" "$n/data" || fail "$1: the original cannot be kept"
  else
    # parents that we are about to make go again with the file
    p=$(dirname -- "$1")
    while [ ! -e "$p" ]; do
      printf '%s\n' "$p"
      p=$(dirname -- "$p")
    done >"$n/absent"
  fi
  mv -T "$n" "$o"
}

# PATH KEY CONTENT OWNER GROUP MODE
put() {
  keep "$1" "$2"
  p=$(dirname -- "$1")
  [ -d "$p" ] || mkdir -p -- "$p" || fail "$1: its directory cannot be made"
  [ -d "$1" ] && [ ! -L "$1" ] && fail "$1: is a directory; a file was to be written there"
  n=$p/.stoker-$3-$(basename -- "$FOLDER")
  (umask 077 && cp -- "$FOLDER/$3" "$n") && chown -- "$4:$5" "$n" && chmod -- "$6" "$n" && mv -fT -- "$n" "$1" || {
    rm -f -- "$n"
    fail "$1: cannot be written with owner $4:$5 and mode $6"
  }
  printf 'wrote %s\n' "$1"
}

# PATH KEY OWNER GROUP MODE
directory() {
  keep "$1" "$2"
  [ -d "$1" ] || mkdir -p -- "$1" || fail "$1: the directory cannot be made"
  chown -- "$3:$4" "$1" && chmod -- "$5" "$1" || fail "$1: cannot get owner $3:$4 and mode $5"
  printf 'directory %s\n' "$1"
}

# PATH KEY
remove() {
  keep "$1" "$2"
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    rmdir -- "$1" || fail "$1: the directory is not empty; what it holds is not removed"
  else
    rm -f -- "$1"
  fi
  printf 'removed %s\n' "$1"
}

# PATH KEY
restore() {
  o=$ORIGINALS/$2
  p=$(dirname -- "$1")
  if [ -e "$o/data" ] || [ -L "$o/data" ]; then
    n=$p/.stoker-restore-$(basename -- "$FOLDER")
    [ -d "$p" ] || mkdir -p -- "$p"
    cp -a -- "$o/data" "$n" && mv -fT -- "$n" "$1" || fail "$1: the original cannot be put back"
    printf 'restored %s\n' "$1"
  elif [ -e "$o/directory" ]; then
    read -r owner mode <"$o/directory"
    [ -d "$1" ] || mkdir -- "$1"
    chown -- "$owner" "$1" && chmod -- "$mode" "$1" || fail "$1: the directory cannot be put back"
    printf 'restored %s\n' "$1"
  else
    if [ -d "$1" ] && [ ! -L "$1" ]; then
      rmdir -- "$1" 2>/dev/null || printf '%s is not empty and stays\n' "$1"
    else
      rm -f -- "$1"
      printf 'removed %s\n' "$1"
    fi
    [ -e "$o/absent" ] && while IFS= read -r p; do rmdir -- "$p" 2>/dev/null || break; done <"$o/absent"
  fi
  rm -rf -- "$o"
}
