/* libsaveseal: is this file what was saved, and what is to be done about it?
 *
 * The checks of `saveseal verify`, `saveseal errors` and `saveseal classify`, in the caller's own process. See
 * libsaveseal(3). What holds for every function here:
 *
 * - Those that return int return 0, or a negative errno (-ENOMEM), and write their result through the last pointer, on
 *   success only. What was found out about a file is always a result, also "there is no such file": only what keeps
 *   from an answer is an error: -EINVAL for an argument that is NULL or out of its range, -ENOMEM, -ECANCELED.
 * - What a function with "new" or "check" in its name gives belongs to the caller, who frees it with the function named
 *   beside it. Every const pointer belongs to the object that it was asked of, and is good until that is freed; those
 *   to findings, and names of classes, are good forever.
 * - Getters never fail. For NULL, and for an index out of range, they return NULL, 0, or SAVESEAL_CLASS_UNKNOWN.
 * - All may be called from any thread at any time; nothing needs to be initialised. Any number of threads may read one
 *   object at once. Nobody else may use it while it is set or freed.
 * - errno is left as it was. Nothing is printed, no process is started, no signal handler or mask is changed, files are
 *   only read, descriptors are close-on-exec and closed again. Text is in English in every locale. */
#ifndef SAVESEAL_H
#define SAVESEAL_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. The library's, which may be a later one, is saveseal_version(). */
#define SAVESEAL_VERSION_MAJOR 0
#define SAVESEAL_VERSION_MINOR 1
#define SAVESEAL_VERSION_PATCH 0

#if defined __GNUC__
#define SAVESEAL_API __attribute__((__visibility__("default")))
#else
#define SAVESEAL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0": of the library that runs. */
SAVESEAL_API const char *saveseal_version(void);

/* ---- findings: everything that is ever said of a file ---- */

/* What to do. The values are fixed: they are the exit statuses of saveseal(1). Take a value that is not here for
 * SAVESEAL_CLASS_UNKNOWN. */
enum saveseal_class {
    SAVESEAL_CLASS_INTACT = 0,                  /* use it */
    SAVESEAL_CLASS_DAMAGED = 1,                 /* do not use it, and do not try again: it will be the same */
    SAVESEAL_CLASS_INVALID_REQUEST = 2,         /* correct the request: no such file, no permission */
    SAVESEAL_CLASS_TEMPORARY = 3,               /* try again later: being written, locked, I/O trouble */
    SAVESEAL_CLASS_UNKNOWN = 4,                 /* nothing is known about it */
    SAVESEAL_CLASS_CHECKPOINT_INCONSISTENT = 5, /* take a full backup */
};

/* A stable name: "intact", "damaged", "invalid-request", "temporary", "unknown", "checkpoint-inconsistent". NULL for
 * any other value. */
SAVESEAL_API const char *saveseal_class_name(enum saveseal_class class_);

/* The one to go by when several files were looked at: the more severe, in the order damaged, checkpoint-inconsistent,
 * invalid-request, temporary, unknown, intact. A value that is not one of these counts as unknown. */
SAVESEAL_API enum saveseal_class saveseal_class_worse(enum saveseal_class a, enum saveseal_class b);

/* A row of the table of findings. Belongs to the library. */
typedef struct saveseal_finding saveseal_finding;

/* The rows from 0 on; NULL for an index behind the last. Their order may change from version to version. */
SAVESEAL_API const saveseal_finding *saveseal_finding_at(size_t index);

/* The row with an id; NULL when this version has none. */
SAVESEAL_API const saveseal_finding *saveseal_finding_by_id(const char *id);

/* "header-mismatch": lower case, hyphens; it never changes its meaning, nor its class. saveseal(1) lists all. */
SAVESEAL_API const char *saveseal_finding_id(const saveseal_finding *finding);
SAVESEAL_API enum saveseal_class saveseal_finding_class(const saveseal_finding *finding);

/* What is the matter, and what to do now: clauses for people, which a later version may word better. The advice is ""
 * when there is nothing to do. */
SAVESEAL_API const char *saveseal_finding_sentence(const saveseal_finding *finding);
SAVESEAL_API const char *saveseal_finding_advice(const saveseal_finding *finding);

/* The version of Saveseal that knew it first: "0.1". */
SAVESEAL_API const char *saveseal_finding_since(const saveseal_finding *finding);

/* What an error of libvirt asks for. code: a virErrorNumber, 0 when it is not known. message: in English, as
 * virErrorPtr has it or virsh prints it; NULL for none. Never NULL: the finding "unclassified" when neither tells. */
SAVESEAL_API const saveseal_finding *saveseal_classify(int code, const char *message);

/* ---- options ---- */

/* How a check is run. Any number of checks may use the same options at once, but not while one of the setters runs. */
typedef struct saveseal_options saveseal_options;

enum saveseal_level {
    SAVESEAL_LEVEL_QUICK = 0, /* seal, size and header: takes as long as the header */
    SAVESEAL_LEVEL_WHOLE = 1, /* the whole content against the seal; without a seal headers, tables and ends. Default */
    SAVESEAL_LEVEL_DEEP = 2,  /* and all of what is inside, decompressed to its end */
};

/* Called during long checks, about every 64 MiB, with the bytes done so far, which do not go down within a stage (the
 * digest is one, the look inside the next), and the file's size. From any thread of the check, which may be one of the
 * library's, but one call at a time. A value other than 0 ends the check with -ECANCELED. It must return: no longjmp,
 * no exception. */
typedef int saveseal_progress(void *context, uint64_t done, uint64_t size);

/* Options with their defaults. -EINVAL, -ENOMEM. free: once no check uses them; NULL is fine. */
SAVESEAL_API int saveseal_options_new(saveseal_options **options);
SAVESEAL_API void saveseal_options_free(saveseal_options *options);

/* -EINVAL for what is none of the levels. */
SAVESEAL_API int saveseal_options_set_level(saveseal_options *options, enum saveseal_level level);

/* How many threads may work on the digest of a file, the calling one among them. 0 is the default: one for each
 * processor that the process may use. At most 64 are used. -EINVAL. */
SAVESEAL_API int saveseal_options_set_threads(saveseal_options *options, unsigned threads);

/* NULL: nobody wants to know, which is the default. context is handed on. -EINVAL. */
SAVESEAL_API int saveseal_options_set_progress(saveseal_options *options, saveseal_progress *progress, void *context);

/* Ends all checks that run with these options, and those that begin with them later, with -ECANCELED. Returns at once;
 * the checks end soon, unless the disk keeps one of them waiting. May be called while they run, and from a signal
 * handler. NULL is fine. */
SAVESEAL_API void saveseal_options_cancel(saveseal_options *options);

/* ---- checks ---- */

/* What was found out about a file. Never changes. */
typedef struct saveseal_result saveseal_result;

/* Checks the file that path names, following symbolic links; on a mount of savesealfs the file behind it. For a draft
 * (DIR/.saveseal.ID) the finding is its state. options may be NULL. Frees with saveseal_result_free. -EINVAL, -ENOMEM,
 * -ECANCELED.
 *
 * A process that holds POSIX record locks (F_SETLK, lockf) on the file loses them, for the file is opened and closed
 * here: use open file description locks (F_OFD_SETLK), or saveseal_check_fd. */
SAVESEAL_API int saveseal_check_path(const char *path, const saveseal_options *options, saveseal_result **result);

/* The same for a file that is open for reading: what is checked is what the descriptor will read later, whatever the
 * name stands for by then. It stays the caller's. Its offset is moved meanwhile, and put back: nobody should read or
 * write by it during the check. Opened on a mount of savesealfs, it reads as the mount lets the caller read. Also
 * -EBADF when it is no descriptor that can be read from. */
SAVESEAL_API int saveseal_check_fd(int fd, const saveseal_options *options, saveseal_result **result);

/* Can an incremental backup of a qcow2 disk image rely on its bitmap? The backing chain is followed. disk is libvirt's
 * name of the disk, for the words of the answer; NULL: the file's name. Findings: "intact", "bitmap-missing",
 * "bitmap-unsupported", "busy", "changed-while-reading", "not-local", and those for what can not be read. -EINVAL also
 * for an empty name of the bitmap. -ENOMEM. POSIX locks: as saveseal_check_path. */
SAVESEAL_API int saveseal_check_bitmap(const char *path, const char *bitmap, const char *disk,
                                       saveseal_result **result);

/* NULL is fine. */
SAVESEAL_API void saveseal_result_free(saveseal_result *result);

/* ---- results ---- */

SAVESEAL_API const saveseal_finding *saveseal_result_finding(const saveseal_result *result);

/* That of its finding. */
SAVESEAL_API enum saveseal_class saveseal_result_class(const saveseal_result *result);

/* "id: sentence (detail); advice", one line of UTF-8 without anything that acts on a terminal. */
SAVESEAL_API const char *saveseal_result_text(const saveseal_result *result);

/* One clause about this file in particular, "" if there is none. It may have any bytes in it that a file's name or
 * content has: not for a terminal as it is. */
SAVESEAL_API const char *saveseal_result_detail(const saveseal_result *result);

/* Bytes; 0 when the file could not be opened. */
SAVESEAL_API uint64_t saveseal_result_size(const saveseal_result *result);

/* 1 when it is a draft, whose state is the finding; else 0. */
SAVESEAL_API int saveseal_result_is_draft(const saveseal_result *result);

/* 1 when the finding is "intact" and the whole content was compared with the seal, not the header alone; else 0. */
SAVESEAL_API int saveseal_result_content_compared(const saveseal_result *result);

/* The seal as it stands on the file, whether they agree or not. NULL when there is none that can be read, and for
 * drafts. Belongs to the result. */
typedef struct saveseal_seal saveseal_seal;
SAVESEAL_API const saveseal_seal *saveseal_result_seal(const saveseal_result *result);

/* When it was sealed: seconds since the epoch, UTC. */
SAVESEAL_API int64_t saveseal_seal_time(const saveseal_seal *seal);

/* Size of the image then: bytes. */
SAVESEAL_API uint64_t saveseal_seal_size(const saveseal_seal *seal);

/* "libvirt", "qemu", "qcow2", or "unknown". */
SAVESEAL_API const char *saveseal_seal_format(const saveseal_seal *seal);

/* Name of the program that saved it; may be "", and have any bytes in it. */
SAVESEAL_API const char *saveseal_seal_writer(const saveseal_seal *seal);

/* The fs-verity digest (SHA-256, blocks of 4096 bytes, no salt), as `fsverity digest` prints it: 64 lower-case hex
 * digits. NULL for a seal that knows no content. */
SAVESEAL_API const char *saveseal_seal_verity(const saveseal_seal *seal);

/* What is in the file, by its format's own marks: looked at when it has no seal, unless SAVESEAL_LEVEL_QUICK, and when
 * it has one with SAVESEAL_LEVEL_DEEP. kind: a stable name, "libvirt", "qcow2", ... or "unknown"; title: for people;
 * finding: "complete" when it was written to its end and all that was looked at agrees. NULL: nobody looked. */
SAVESEAL_API const char *saveseal_result_inside_kind(const saveseal_result *result);
SAVESEAL_API const char *saveseal_result_inside_title(const saveseal_result *result);
SAVESEAL_API const saveseal_finding *saveseal_result_inside_finding(const saveseal_result *result);

/* Facts about what is in the file, from 0 on: a stable key of lower case and hyphens ("domain"), and a text for people,
 * which may have any bytes in it. A key may come more than once. */
SAVESEAL_API size_t saveseal_result_fact_count(const saveseal_result *result);
SAVESEAL_API const char *saveseal_result_fact_key(const saveseal_result *result, size_t index);
SAVESEAL_API const char *saveseal_result_fact_text(const saveseal_result *result, size_t index);

/* The text of the first fact with this key; NULL when there is none. */
SAVESEAL_API const char *saveseal_result_fact(const saveseal_result *result, const char *key);

#ifdef __cplusplus
}
#endif

#endif
