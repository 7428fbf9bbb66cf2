#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "util.h"

#define INTERPRETERS_MAX 5 /* as many as the kernel follows */
#define HEAD_SIZE 4096

_Static_assert(sizeof(void *) == 8, "the ELF structures read here are the 64-bit ones");

static bool is_program(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    if (!S_ISREG(st.st_mode)) {
        errno = EACCES;
        return false;
    }
    return access(path, X_OK) == 0;
}

int ss_program_find(const char *command, char path[PATH_MAX])
{
    const char *rest = getenv("PATH");
    int error = -ENOENT;

    if (strchr(command, '/')) {
        if ((size_t)snprintf(path, PATH_MAX, "%s", command) >= PATH_MAX)
            return -ENAMETOOLONG;
        return is_program(path) ? 0 : -errno;
    }
    if (!rest)
        rest = "/bin:/usr/bin";
    for (bool more = true; more; rest++) {
        size_t len = strcspn(rest, ":");
        int n = snprintf(path, PATH_MAX, "%.*s/%s", len > 0 ? (int)len : 1, len > 0 ? rest : ".", command);
        if (n > 0 && n < PATH_MAX && is_program(path))
            return 0;
        if (n > 0 && n < PATH_MAX && errno == EACCES)
            error = -EACCES;
        rest += len;
        more = *rest == ':';
    }
    return error;
}

/* Reads the first bytes of a file, zeros behind them. */
static ssize_t read_head(const char *path, char head[HEAD_SIZE])
{
    memset(head, 0, HEAD_SIZE);
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : ss_pread_full(fd, head, HEAD_SIZE - 1, 0);
}

/* The kernel's rule for AT_SECURE, on which the dynamic linker ignores LD_PRELOAD. */
static bool gains_rights(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
        return true;
    if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getgid())
        return true;
    return getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* The name of the dynamic linker that a program asks for, into name; false when it asks for none. */
static bool read_linker(const char *path, const Elf64_Ehdr *header, char name[PATH_MAX])
{
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    for (unsigned i = 0; fd >= 0 && i < header->e_phnum; i++) {
        Elf64_Phdr segment;
        if (ss_pread_full(fd, &segment, sizeof segment, (off_t)(header->e_phoff + i * sizeof segment)) !=
            sizeof segment)
            return false;
        if (segment.p_type != PT_INTERP)
            continue;
        size_t len = segment.p_filesz < PATH_MAX ? (size_t)segment.p_filesz : PATH_MAX - 1;
        name[len] = '\0';
        return ss_pread_full(fd, name, len, (off_t)segment.p_offset) == (ssize_t)len;
    }
    return false;
}

/* Is that dynamic linker our own one? Another need not know LD_PRELOAD, nor our C library. */
static bool is_our_linker(const char *name)
{
    char ours[PATH_MAX], head[HEAD_SIZE];
    struct stat one, other;
    Elf64_Ehdr header;

    if (read_head("/proc/self/exe", head) < (ssize_t)sizeof header)
        return false;
    memcpy(&header, head, sizeof header);
    return read_linker("/proc/self/exe", &header, ours) && stat(ours, &one) == 0 && stat(name, &other) == 0 &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool read_section(int fd, const Elf64_Ehdr *header, unsigned number, Elf64_Shdr *section)
{
    return header->e_shentsize == sizeof *section &&
           ss_pread_full(fd, section, sizeof *section, (off_t)(header->e_shoff + number * sizeof *section)) ==
               sizeof *section;
}

/* Was it made by the Go compiler? Such a program makes its system calls itself, also where it is linked dynamically, so
 * that no hook sees what it opens. This section is in all since Go 1.13, also where the build ID was left out. */
static bool is_go(const char *path, const Elf64_Ehdr *header)
{
    static const char wanted[] = ".go.buildinfo";
    SS_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    Elf64_Shdr names, section;

    if (fd < 0 || !read_section(fd, header, header->e_shstrndx, &names))
        return false;
    for (unsigned i = 0; i < header->e_shnum && read_section(fd, header, i, &section); i++) {
        char name[sizeof wanted] = "";
        ssize_t n = ss_pread_full(fd, name, sizeof name, (off_t)(names.sh_offset + section.sh_name));
        if (n == sizeof name && memcmp(name, wanted, sizeof wanted) == 0)
            return true;
    }
    return false;
}

static bool refuse(char why[SS_PROGRAM_WHY_MAX], const char *reason)
{
    snprintf(why, SS_PROGRAM_WHY_MAX, "%s", reason);
    return false;
}

static bool is_elf_protectable(const char *path, const Elf64_Ehdr *header, const Elf64_Ehdr *library,
                               char why[SS_PROGRAM_WHY_MAX])
{
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return refuse(why, "neither an ELF program nor a script");
    if (header->e_ident[EI_CLASS] != library->e_ident[EI_CLASS] ||
        header->e_ident[EI_DATA] != library->e_ident[EI_DATA] || header->e_machine != library->e_machine)
        return refuse(why, "a program for another kind of machine than libsaveseal-preload.so");
    char linker[PATH_MAX];
    if (!read_linker(path, header, linker))
        return refuse(why, "linked statically, so that no library can be loaded into it");
    if (!is_our_linker(linker))
        return refuse(why, "a program for another dynamic linker, which may not load the library");
    if (is_go(path, header))
        return refuse(why, "a Go program, which makes its system calls itself, so that the library does not see them");
    return true;
}

/* The interpreter of "#! INTERPRETER ARGUMENT", in place. */
static char *interpreter_of(char *head)
{
    char *name = head + 2 + strspn(head + 2, " \t");

    name[strcspn(name, " \t\n")] = '\0';
    return name;
}

/* On a file system that is mounted noexec it can be read, but not loaded: the dynamic linker warns, and goes on
 * without.
 */
static bool can_be_loaded(const char *library)
{
    SS_AUTO_CLOSE int fd = open(library, O_RDONLY | O_CLOEXEC);
    void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

    if (memory == MAP_FAILED)
        return false;
    munmap(memory, 1);
    return true;
}

bool ss_program_is_protectable(const char *program, const char *library, char why[SS_PROGRAM_WHY_MAX])
{
    _Alignas(Elf64_Ehdr) char ours[HEAD_SIZE], head[HEAD_SIZE];
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s", program);
    ssize_t n = read_head(library, ours);
    if (n < (ssize_t)sizeof(Elf64_Ehdr)) {
        snprintf(why, SS_PROGRAM_WHY_MAX, "%.200s can not be read", library);
        return false;
    }
    if (!can_be_loaded(library)) {
        snprintf(why, SS_PROGRAM_WHY_MAX, "%.200s can not be loaded: is its file system mounted noexec?", library);
        return false;
    }
    for (int i = 0; i < INTERPRETERS_MAX; i++) {
        n = read_head(path, head);
        if (n < 0)
            return refuse(why, "it can not be read, so it can not be told whether a library can be loaded into it");
        if (n > 2 && head[0] == '#' && head[1] == '!') {
            snprintf(path, sizeof path, "%s", interpreter_of(head));
            continue; /* the kernel minds no such bits of a script */
        }
        if (gains_rights(path))
            return refuse(why, "it runs with more rights than its caller's (setuid, setgid or capabilities), and then "
                               "no library is loaded into it");
        return is_elf_protectable(path, (const Elf64_Ehdr *)(const void *)head, (const Elf64_Ehdr *)(const void *)ours,
                                  why);
    }
    return refuse(why, "too many interpreters");
}
