# Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
#
# Named statements to C: each "-- name: cert_find" begins a statement, which becomes one row
#
#     SQL(cert_find, "SELECT ...\n" "FROM ...\n")
#
# Comment lines are left out; a statement loses its final semicolon.  A name that is used twice is an error.

function finish() {
    if (name != "") {
        sub(/;[ \t]*\\n"$/, "\"", text)
        printf "SQL(%s,%s)\n", name, text
    }
    text = ""
}

/^-- name: [a-z][a-z0-9_]*[ \t]*$/ {
    finish()
    name = $3
    if (name in seen) {
        printf "%s:%d: the name %s is used twice\n", FILENAME, FNR, name >"/dev/stderr"
        exit 1
    }
    seen[name] = 1
    next
}

/^[ \t]*--/ || /^[ \t]*$/ { next }

name == "" {
    printf "%s:%d: a statement without a name\n", FILENAME, FNR >"/dev/stderr"
    exit 1
}

{
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    text = text "\n    \"" $0 "\\n\""
}

END { finish() }
