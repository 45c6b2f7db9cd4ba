#!/bin/sh
# Says hello as JSON.
exec jq -n --arg greeting "${GREETING:-hello}" --arg name "${1:-world}" '{greeting: $greeting, name: $name}'
