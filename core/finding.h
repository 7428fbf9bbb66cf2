/* Every judgement that Saveseal ever makes, with its stable id: one table that the daemon's log, the records, the
 * tool's text, JSON and exit code, and the manual are made from. Ids never change their meaning. */
#ifndef SAVESEAL_CORE_FINDING_H
#define SAVESEAL_CORE_FINDING_H

/* What a program should do about a finding. The values are the exit codes of `saveseal`. */
enum ss_class {
    SS_CLASS_INTACT = 0,       /* done, nothing wrong */
    SS_CLASS_DAMAGED = 1,      /* never retry: the same will happen again */
    SS_CLASS_INVALID = 2,      /* the request was wrong: correct it */
    SS_CLASS_TEMPORARY = 3,    /* try again later */
    SS_CLASS_UNKNOWN = 4,      /* nothing is known about the file */
    SS_CLASS_INCONSISTENT = 5, /* checkpoint broken: take a full backup */
};

enum ss_finding {
    /* verdicts on a draft's last close */
    SS_CLEAN,              /* sealed and published */
    SS_WRITER_KILLED,      /* a process of the save was ended by a signal */
    SS_WRITER_EXITED,      /* it exited with a status other than 0 */
    SS_WRITER_VANISHED,    /* its end could not be observed */
    SS_WRITE_FAILED,       /* a write failed and nothing was written over it later */
    SS_WRITES_UNSEEN,      /* whether every write succeeded was not seen, and its format has no mark that could say */
    SS_SYNC_FAILED,        /* the data could not be made durable */
    SS_FORMAT_INCOMPLETE,  /* the image's own header says that it is not complete */
    SS_NAME_TAKEN,         /* an exclusive save, and the name exists by now */
    SS_PUBLISH_FAILED,     /* the rename to the public name failed */
    SS_DAEMON_DIED,        /* nobody holds the draft any more and no verdict was reached */
    SS_CLOSED_UNPUBLISHED, /* as DAEMON_DIED, but it was closed and sealed by then and agrees with its seal */
    SS_DRAFT_IN_PROGRESS,  /* being written right now */
    SS_DRAFT_WAITING,      /* closed, its header says more is to come, its writer lives */
    /* verdicts on an image */
    SS_INTACT,           /* agrees with its seal */
    SS_UNSEALED,         /* has no seal: nothing is known */
    SS_HEADER_MISMATCH,  /* header differs from the seal */
    SS_CONTENT_MISMATCH, /* header agrees, content differs */
    SS_TRUNCATED,        /* shorter than sealed */
    SS_GROWN,            /* longer than sealed */
    SS_SEAL_INVALID,     /* the seal can not be read: malformed */
    SS_SEAL_TOO_NEW,     /* the seal is of a newer major version */
    SS_CHANGED_WHILE_READING,
    /* on the request */
    SS_NOT_FOUND,
    SS_NOT_A_FILE,  /* a directory, device, ... where an image is wanted */
    SS_NOT_A_DRAFT, /* discard or salvage of something else */
    SS_DEST_EXISTS, /* salvage would overwrite */
    SS_NO_PERMISSION,
    SS_IO_ERROR,
    SS_USAGE,
    /* on what an image holds, and on what libvirt answered */
    SS_HEADER_DAMAGED,
    SS_STREAM_DAMAGED,
    SS_DESCRIPTION_DAMAGED,
    SS_HOST_INCOMPATIBLE,
    SS_BITMAP_MISSING,
    SS_BITMAP_UNSUPPORTED,
    SS_REQUEST_REFUSED,
    SS_BUSY,
    SS_NO_SPACE,
    SS_HOST_TROUBLE,
    SS_UNCLASSIFIED,
    SS_NOT_LOCAL, /* a disk that is no file of this host */
    SS_LEFT_OUT,  /* a disk of a checkpoint that the domain does not have any more */
    /* on what is inside an image, without a seal */
    SS_COMPLETE,
    SS_END_UNPROVEN,
    SS_FORMAT_UNSUPPORTED,
    SS_STRUCTURE_DAMAGED,
    SS_NEEDS_REPAIR, /* not closed properly by its program, which can mend it */
    /* on a file that is compared with another, or with a manifest */
    SS_DIFFERS,
    SS_NOT_LISTED,
    SS_NOT_REACHED, /* not looked at: the limit of time or bytes came first */
    SS_QUARANTINED, /* set aside because somebody asked for it, not because something was found */
    SS_FINDING_COUNT
};

struct ss_finding_text {
    const char *id; /* stable, lower case, hyphens */
    enum ss_class class;
    const char *sentence; /* what is the matter, no final stop */
    const char *advice;   /* what to do now, no final stop; "" when there is nothing to do */
    const char *since;    /* the version that knew it first */
};

/* The row of the table; never NULL for a value below SS_FINDING_COUNT. */
const struct ss_finding_text *ss_finding_text(enum ss_finding finding);

/* Finds a row by id. Returns 0 or -ENOENT. */
int ss_finding_parse(const char *id, enum ss_finding *finding);

/* Which of two classes is the one to exit with when several files were looked at: the most severe, in the order
 * damaged, inconsistent, invalid, temporary, unknown, intact. */
enum ss_class ss_class_worse(enum ss_class a, enum ss_class b);

/* Stable names: "intact", "damaged", "invalid-request", "temporary", "unknown", "checkpoint-inconsistent". */
const char *ss_class_name(enum ss_class class);

#endif
