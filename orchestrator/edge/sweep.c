/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Files that nothing refers to any more (see sweep.h).
 */
#include "orchestrator/edge/sweep.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/clock.h"

static bool
is_kept(const str_list_t *keep, const char *name)
{
    for (size_t i = 0; i < keep->count; i++) {
        if (strcmp(keep->v[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The note about a file, made when it is new; NULL when out of memory or for a name that is not ours. */
static struct sweep_file *
file_note(sweep_t *s, const char *name, int64_t now_us)
{
    struct sweep_file *v = s->v;
    size_t             cap = s->cap == 0 ? 16 : 2 * s->cap;

    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->v[i].name, name) == 0) {
            return &s->v[i];
        }
    }
    if (strlen(name) >= sizeof(v->name)) {
        return NULL;
    }
    if (s->count == s->cap) {
        v = realloc(s->v, cap * sizeof(*v));
        if (v == NULL) {
            return NULL;
        }
        s->v = v;
        s->cap = cap;
    }
    v = &s->v[s->count++];
    *v = (struct sweep_file){ .since_us = now_us };
    snprintf(v->name, sizeof(v->name), "%s", name);
    return v;
}

/* Forget the files that are gone or are named by a record again. */
static void
notes_compact(sweep_t *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++) {
        if (s->v[i].seen) {
            s->v[n] = s->v[i];
            s->v[n++].seen = false;
        }
    }
    s->count = n;
}

size_t
sweep_run(sweep_t *s, const char *dir, const str_list_t *keep, int64_t grace_s)
{
    int64_t        now_us = clock_mono_us();
    size_t         removed = 0;
    DIR           *d = opendir(dir);
    struct dirent *entry;

    if (d == NULL) {
        return 0;
    }
    while ((entry = readdir(d)) != NULL) {
        struct sweep_file *file;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_kept(keep, entry->d_name) ||
            (file = file_note(s, entry->d_name, now_us)) == NULL) {
            continue;
        }
        if (now_us - file->since_us >= grace_s * 1000000 && unlinkat(dirfd(d), entry->d_name, 0) == 0) {
            removed++;
        } else {
            file->seen = true;
        }
    }
    closedir(d);
    notes_compact(s);
    return removed;
}

void
sweep_free(sweep_t *s)
{
    free(s->v);
    *s = (sweep_t){ 0 };
}
