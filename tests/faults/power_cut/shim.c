/* Remembers what a power cut would leave of a folder: of each file the content at its last sync, of each folder the
 * names at its last sync, and nothing else.
 *
 * Preloaded into every process under test. POWER_CUT_ROOT is the folder; POWER_CUT_TWIN, outside it, receives
 *
 *     files/<id>    the durable content of a file
 *     names/<id>    the durable names of a folder, a line each: kind ('f' or 'd'), id, name
 *     locks/        one lock a stripe of ids, so that concurrent syncs of one file can't overtake each other
 *     fail-sync     if it is there, every sync below the root fails with EIO and makes nothing durable
 *
 * An id is the inode number with the birth time, since numbers are used again. `twin.py` builds the tree from it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 65536
#define STRIPES 64

static char root[PATH_MAX], twin[PATH_MAX / 2];
static size_t root_length;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void start(void)
{
    const char *from = getenv("POWER_CUT_ROOT"), *to = getenv("POWER_CUT_TWIN");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (!from || !to || strlen(to) >= sizeof twin || !realpath(from, root))
        return;
    root_length = strlen(root);
    strcpy(twin, to);
}

static int id_at(int folder, const char *name, int flags, char *id, size_t size, char *kind)
{
    struct statx s;
    if (statx(folder, name, flags | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &s))
        return -1;
    *kind = S_ISDIR(s.stx_mode) ? 'd' : S_ISREG(s.stx_mode) ? 'f' : 'o';
    snprintf(id, size, "%llu-%lld-%u", (unsigned long long)s.stx_ino,
             (long long)((s.stx_mask & STATX_BTIME) ? s.stx_btime.tv_sec : 0),
             (s.stx_mask & STATX_BTIME) ? s.stx_btime.tv_nsec : 0u);
    return 0;
}

/* The id of a path, for `twin.py`; -1 if there is none. */
int power_cut_id(const char *path, char *id, size_t size)
{
    char kind;
    return id_at(AT_FDCWD, path, 0, id, size, &kind);
}

static int watched(int fd)
{
    char link[64], path[PATH_MAX];
    ssize_t n;
    if (!root_length)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < (ssize_t)root_length)
        return 0;
    path[n] = 0;
    return !strncmp(path, root, root_length) && (path[root_length] == 0 || path[root_length] == '/');
}

static int lock_of(const char *id)
{
    char path[PATH_MAX];
    int lock;
    snprintf(path, sizeof path, "%s/locks/%lu", twin, strtoul(id, NULL, 10) % STRIPES);
    lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock >= 0)
        while (flock(lock, LOCK_EX) && errno == EINTR)
            ;
    return lock;
}

static int write_all(int fd, const char *data, size_t size, off_t offset)
{
    while (size) {
        ssize_t n = pwrite(fd, data, size, offset);
        if (n <= 0)
            return -1;
        data += n;
        size -= (size_t)n;
        offset += n;
    }
    return 0;
}

/* Brings the twin to the file's content, writing only the blocks that differ. In place: a kill amidst it leaves some
 * blocks new and some old, as a power cut amidst a sync does. */
static int mirror_file(int fd, const char *id)
{
    static __thread char now[BLOCK], then[BLOCK];
    char path[PATH_MAX], self[64];
    struct stat s;
    int result = -1, to, from;
    off_t offset = 0;
    snprintf(path, sizeof path, "%s/files/%s", twin, id);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    from = open(self, O_RDONLY | O_CLOEXEC); /* the caller's may be write-only */
    if (from < 0)
        return -1;
    to = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (to < 0)
        goto done;
    for (;;) {
        ssize_t n = pread(from, now, BLOCK, offset), m;
        if (n < 0)
            goto done;
        if (n == 0)
            break;
        m = pread(to, then, BLOCK, offset);
        if ((m < n || memcmp(now, then, (size_t)n)) && write_all(to, now, (size_t)n, offset))
            goto done;
        offset += n;
    }
    if (!fstat(to, &s) && s.st_size != offset && ftruncate(to, offset))
        goto done;
    result = 0;
done:
    if (to >= 0)
        close(to);
    close(from);
    return result;
}

static int mirror_folder(int fd, const char *id)
{
    char path[PATH_MAX], fresh[PATH_MAX + 8], entry[64], kind;
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = own < 0 ? NULL : fdopendir(own);
    struct dirent *e;
    FILE *list;
    if (!folder)
        return -1;
    snprintf(path, sizeof path, "%s/names/%s", twin, id);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    list = fopen(fresh, "we");
    while (list && (e = readdir(folder)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && !id_at(own, e->d_name, 0, entry, sizeof entry, &kind))
            fprintf(list, "%c %s %s\n", kind, entry, e->d_name);
    closedir(folder);
    return !list || fclose(list) || rename(fresh, path) ? -1 : 0;
}

static int synced(int fd, int (*real)(int))
{
    char id[64], kind, fail[PATH_MAX];
    int lock, result, kept;
    if (!watched(fd))
        return real(fd);
    snprintf(fail, sizeof fail, "%s/fail-sync", twin);
    if (!access(fail, F_OK)) {
        errno = EIO;
        return -1;
    }
    if ((result = real(fd)))
        return result;
    if (id_at(fd, "", AT_EMPTY_PATH, id, sizeof id, &kind))
        return -1;
    kept = errno;
    lock = lock_of(id);
    result = kind == 'd' ? mirror_folder(fd, id) : kind == 'f' ? mirror_file(fd, id) : 0;
    if (lock >= 0)
        close(lock);
    if (!result)
        errno = kept;
    return result;
}

int fsync(int fd)
{
    return synced(fd, real_fsync);
}

int fdatasync(int fd)
{
    return synced(fd, real_fdatasync);
}
