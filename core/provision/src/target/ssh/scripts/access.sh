# A token for whoever provisions; its name. One with that name that was lost is of no use to anybody.
name=$1
"$base/current/lbctl" token revoke "$name" >/dev/null 2>&1 || :
"$base/current/lbctl" token create "$name" --role administer --output json
