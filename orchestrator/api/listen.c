/*
 * Copyright (C) The Chancery authors.  SPDX-License-Identifier: Apache-2.0
 *
 * Unix sockets to listen on: their place in the file system and who may use them.
 */
#include "orchestrator/api/listen.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* nginx' group may use the socket; without such a group it is the owner's alone. */
static pki_code_t
socket_share(const char *path, const char *group, pki_err_t *err)
{
    const struct group *g = group != NULL && *group != '\0' ? getgrnam(group) : NULL;

    if (group != NULL && *group != '\0' && g == NULL) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "edge_group %s does not exist", group);
    }
    if (g != NULL && chown(path, (uid_t) -1, g->gr_gid) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: cannot give it to group %s: %s", path, group, strerror(errno));
    }
    if (chmod(path, 0660) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", path, strerror(errno));
    }
    return PKI_OK;
}

/* Bound under another name and renamed, so that there is never a moment without a socket or with a dead one. */
static pki_code_t
socket_bind(int fd, const char *path, const char *group, pki_err_t *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int                len = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.new", path);

    if (len < 0 || (size_t) len >= sizeof(addr.sun_path)) {
        return pki_fail(err, PKI_E_CONFIG, NULL, "%s: the path of a unix socket is too long", path);
    }
    (void) unlink(addr.sun_path);
    if (bind(fd, (struct sockaddr *) &addr, sizeof(addr)) != 0 || listen(fd, SOMAXCONN) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", addr.sun_path, strerror(errno));
    }
    PKI_TRY(socket_share(addr.sun_path, group, err));
    if (rename(addr.sun_path, path) != 0) {
        return pki_fail(err, PKI_E_IO, NULL, "%s: %s", path, strerror(errno));
    }
    return PKI_OK;
}

pki_code_t
socket_listen(const char *path, const char *group, int *fd, pki_err_t *err)
{
    pki_code_t code;

    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd == -1) {
        return pki_fail(err, PKI_E_IO, NULL, "socket: %s", strerror(errno));
    }
    code = socket_bind(*fd, path, group, err);
    if (code != PKI_OK) {
        close(*fd);
        *fd = -1;
    }
    return code;
}
