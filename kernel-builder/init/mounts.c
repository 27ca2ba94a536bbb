/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

enum { MOUNTS_MAX = 256, NAMES_BYTES_MAX = 4096 };

#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* In this order. The root is read-only: whatever is written lies in memory, in a tmpfs. */
static const struct {
    const char *what, *where, *type, *options;
    unsigned long flags;
} MOUNTS[] = {
    {"proc", "/proc", "proc", "", QUIET},
    {"sysfs", "/sys", "sysfs", "", QUIET},
    {"devtmpfs", "/dev", "devtmpfs", "mode=0755", MS_NOSUID},
    {"devpts", "/dev/pts", "devpts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
    {"mqueue", "/dev/mqueue", "mqueue", "", QUIET},
    {"cgroup2", "/sys/fs/cgroup", "cgroup2", "nsdelegate", QUIET},
    {"xenfs", "/proc/xen", "xenfs", "", QUIET},
    {"tmpfs", "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/var", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV},
};

static const struct {
    const char *path;
    mode_t mode;
    uid_t owner;
} FOLDERS[] = {
    {"/run/lock", 01777, 0}, {"/run/share", 0755, 0}, {"/var/tmp", 01777, 0},
    {"/var/log", 0755, 0},   {"/var/lib", 0755, 0},   {"/var/cache", 0755, 0},
    {"/var/root", 0700, 0},  {"/var/home", 0755, 0},  {"/var/home/user", 0700, 1000},
};

static const struct {
    const char *to, *path;
} LINKS[] = {
    {"/run", "/var/run"},          {"/run/lock", "/var/lock"},    {"/proc/self/fd", "/dev/fd"},
    {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
    {"/proc/self/fd/2", "/dev/stderr"},
};

/* The kernel keeps its own secrets even from the domain's root. */
static const struct {
    const char *path, *value;
} HARDENED[] = {
    {"/proc/sys/kernel/kptr_restrict", "2"},
    {"/proc/sys/kernel/dmesg_restrict", "1"},
    {"/proc/sys/kernel/yama/ptrace_scope", "1"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The kernel has mounted /dev, and an initial RAM disk may have mounted more. */
static bool is_mounted(const char *where)
{
    char above[64];
    struct stat here, there;
    snprintf(above, sizeof above, "%s/..", where);
    return !stat(where, &here) && !stat(above, &there) && here.st_dev != there.st_dev;
}

static void mount_one(size_t i)
{
    const char *where = MOUNTS[i].where;
    mkdir(where, 0755); /* those below another mount are not in the image */
    if (!is_mounted(where) &&
        mount(MOUNTS[i].what, where, MOUNTS[i].type, MOUNTS[i].flags, MOUNTS[i].options))
        complain("mount %s", where);
}

static void make_folder(size_t i)
{
    if (mkdir(FOLDERS[i].path, 0700) || chown(FOLDERS[i].path, FOLDERS[i].owner, FOLDERS[i].owner) ||
        chmod(FOLDERS[i].path, FOLDERS[i].mode))
        complain("%s", FOLDERS[i].path);
}

void mount_all(void)
{
    for (size_t i = 0; i < COUNT(MOUNTS); i++)
        mount_one(i);
    for (size_t i = 0; i < COUNT(FOLDERS); i++)
        make_folder(i);
    for (size_t i = 0; i < COUNT(LINKS); i++)
        if (symlink(LINKS[i].to, LINKS[i].path) && errno != EEXIST)
            complain("%s", LINKS[i].path);
    for (size_t i = 0; i < COUNT(HARDENED); i++)
        if (!put(HARDENED[i].path, HARDENED[i].value))
            complain("%s", HARDENED[i].path);
    if (!put("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset +cpu +io +memory +pids"))
        complain("cgroup controllers");
}

/* Each 9p share of the domain's configuration is at /share/TAG. */
static void mount_share(const char *device)
{
    char path[128], tag[64], where[96];
    snprintf(path, sizeof path, "device/9pfs/%.20s/tag", device);
    if (!store_read(path, tag, sizeof tag))
        return;
    if (!*tag || strchr(tag, '/') || tag[0] == '.') {
        say("the 9p tag %s cannot be a folder's name", tag);
        return;
    }
    snprintf(where, sizeof where, "/run/share/%s", tag);
    mkdir(where, 0755);
    if (mount(tag, where, "9p", MS_NOSUID | MS_NODEV, "trans=xen,version=9p2000.L,msize=131072"))
        complain("9p share %s", tag);
}

void mount_shares(void)
{
    char names[NAMES_BYTES_MAX];
    if (!store_list("device/9pfs", names, sizeof names))
        return;
    for (const char *name = names; *name; name += strlen(name) + 1)
        mount_share(name);
}

/* Last one first; what cannot be unmounted is at least written. */
void unmount_all(void)
{
    static char where[MOUNTS_MAX][128];
    int count = 0;
    FILE *table = setmntent("/proc/self/mounts", "re");
    for (struct mntent *entry; table && count < MOUNTS_MAX && (entry = getmntent(table));)
        if (strlen(entry->mnt_dir) < sizeof *where)
            strcpy(where[count++], entry->mnt_dir);
    if (table)
        endmntent(table);
    sync();
    while (count-- > 0)
        umount2(where[count], MNT_DETACH);
    sync();
}
