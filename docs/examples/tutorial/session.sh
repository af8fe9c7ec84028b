#!/bin/sh
# The tutorial's session, step by step; the manual shows the parts between the marks. Needs a running server and a fleet or lab.
# TRANSPORT is simulated or ssh; NODES lists name=address of two nodes.
set -eu
: "${TRANSPORT:=simulated}" "${NODES:=node1=node1 node2=node2}" "${EXAMPLES:=$(dirname "$0")}"

# new
stoker-plugin new greeting

# edit
cp "$EXAMPLES/greeting/plugin.py" greeting/src/stoker_plugin_greeting/__init__.py

# build
stoker-plugin check greeting
stoker-plugin build greeting --output .

# install
stoker plugins install greeting-1.0.0.stoker
stoker plugins list

# environment
stoker env create try
stoker env enable try greeting --set text=Welcome
for pair in $NODES; do
    stoker nodes add "${pair%%=*}" "${pair#*=}" --transport "$TRANSPORT" ${CREDENTIAL:+--credential "$CREDENTIAL"} --refresh
    stoker env assign try "${pair%%=*}" greeter
done

# plan
stoker plan create try
stoker plan explain "${NODES%%=*}" /etc/greeting.ini:4 --env try

# deploy
stoker deploy try --yes --watch
stoker env check try

# change
stoker env settings try greeting --set "text=Good morning"
stoker plan create try
stoker deploy try --yes --watch

# remove
stoker env disable try greeting
stoker plan create try
stoker deploy try --yes --watch
stoker plugins uninstall greeting=1.0.0
