# SPDX-FileCopyrightText: The Stoker authors
# SPDX-License-Identifier: Apache-2.0
# Functions for a files action; FOLDER is the attempt's folder, ORIGINALS where originals are kept.
# Of each path that Stoker took over there is a folder of originals:
#   path       its name
#   data       what was there, or
#   directory  owner and mode of the directory that was there, or
#   absent     nothing was there: the parents that we made, and
#   untouched  we have not made anything there either
# .made lists directories of ours that were given back, as long as other paths of ours lie in them.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# PATH KEY put|remove: keep what was at PATH before us, once. A folder of originals is complete or not there.
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
    [ "$3" != remove ] || : >"$n/untouched"
  fi
  mv -T "$n" "$o"
}

# PATH KEY CONTENT OWNER GROUP MODE
put() {
  keep "$1" "$2" put
  rm -f -- "$ORIGINALS/$2/untouched"
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
  keep "$1" "$2" put
  rm -f -- "$ORIGINALS/$2/untouched"
  [ -d "$1" ] || mkdir -p -- "$1" || fail "$1: the directory cannot be made"
  chown -- "$3:$4" "$1" && chmod -- "$5" "$1" || fail "$1: cannot get owner $3:$4 and mode $5"
  printf 'directory %s\n' "$1"
}

# PATH KEY: take away what may come back
remove() {
  keep "$1" "$2" remove
  discard "$1"
}

# PATH: take away for good
discard() {
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
  elif [ -e "$o/untouched" ]; then
    printf '%s was not there and is left alone\n' "$1"
  else
    if [ -d "$1" ] && [ ! -L "$1" ]; then
      (umask 077 && mkdir -p "$ORIGINALS")
      printf '%s\n' "$1" >>"$ORIGINALS/.made"
    else
      rm -f -- "$1"
      printf 'removed %s\n' "$1"
    fi
  fi
  [ -e "$o/absent" ] && cat -- "$o/absent" >>"$ORIGINALS/.made"
  rm -rf -- "$o"
}

# Take away directories that we made and that are empty now, the deepest first. One in which another path of ours lies is tried
# again when that is given back; one that holds something else stays.
tidy() {
  [ -e "$ORIGINALS/.made" ] || return 0
  LC_ALL=C sort -ru "$ORIGINALS/.made" | while IFS= read -r p; do
    rmdir -- "$p" 2>/dev/null && continue
    [ -d "$p" ] || continue
    if cat -- "$ORIGINALS"/*/path 2>/dev/null | grep -qF -- "$p/"; then
      printf '%s\n' "$p"
    else
      printf '%s is not empty and stays\n' "$p" >&3
    fi
  done 3>&1 >"$ORIGINALS/.still"
  rm -f -- "$ORIGINALS/.made"
  if [ -s "$ORIGINALS/.still" ]; then mv -- "$ORIGINALS/.still" "$ORIGINALS/.made"; else rm -f -- "$ORIGINALS/.still"; fi
}
