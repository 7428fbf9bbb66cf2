#include "finding.h"

#include <errno.h>
#include <string.h>

static const struct ss_finding_text findings[SS_FINDING_COUNT] = {
    [SS_CLEAN] = {"clean", SS_CLASS_INTACT, "the save is complete, sealed and in place", "", "0.1"},
    [SS_WRITER_KILLED] = {"writer-killed", SS_CLASS_DAMAGED, "the program was killed while it was saving",
                          "save again, then discard this draft", "0.1"},
    [SS_WRITER_EXITED] = {"writer-exited", SS_CLASS_DAMAGED, "the program reported an error when it ended",
                          "read the program's own message, save again, then discard this draft", "0.1"},
    [SS_WRITER_VANISHED] = {"writer-vanished", SS_CLASS_DAMAGED, "the program is gone and nobody saw how it ended",
                            "save again; if you know that this save was complete, salvage the draft instead", "0.1"},
    [SS_WRITE_FAILED] = {"write-failed", SS_CLASS_DAMAGED, "a part of the image could not be written",
                         "look for a full or failing disk, save again, then discard this draft", "0.1"},
    [SS_WRITES_UNSEEN] = {"writes-unseen", SS_CLASS_UNKNOWN,
                          "only images with a mark of their own are saved here, and this one has none",
                          "save without -o format or --format; if you know that it is whole, salvage it", "0.1"},
    [SS_SYNC_FAILED] = {"sync-failed", SS_CLASS_DAMAGED, "the image did not reach the disk safely",
                        "look for disk errors in the kernel log, save again, then discard this draft", "0.1"},
    [SS_FORMAT_INCOMPLETE] = {"format-incomplete", SS_CLASS_DAMAGED,
                              "the image's own header says that it is not complete",
                              "save again; if nothing but its mark is missing, saveseal finish completes it", "0.1"},
    [SS_NAME_TAKEN] = {"name-taken", SS_CLASS_DAMAGED, "another file got the name while this one was being saved",
                       "salvage the draft under another name, or discard it", "0.1"},
    [SS_PUBLISH_FAILED] = {"publish-failed", SS_CLASS_DAMAGED, "the image is complete but could not be given its name",
                           "look at the log for the cause, then salvage the draft", "0.1"},
    [SS_DAEMON_DIED] = {"daemon-died", SS_CLASS_DAMAGED, "Saveseal stopped or the power failed during the save",
                        "save again, then discard this draft", "0.1"},
    [SS_CLOSED_UNPUBLISHED] = {"closed-unpublished", SS_CLASS_UNKNOWN,
                               "closed and sealed, but Saveseal or the host stopped before it got its name",
                               "if its writer reported success, salvage it: it is whole as of its last close", "0.1"},
    [SS_DRAFT_IN_PROGRESS] = {"draft-in-progress", SS_CLASS_TEMPORARY, "the image is being written right now",
                              "wait until the save ends, then try again", "0.1"},
    [SS_DRAFT_WAITING] = {"draft-waiting", SS_CLASS_TEMPORARY,
                          "the save is not finished: its program has more to write",
                          "wait until the program is done, then try again", "0.1"},
    [SS_INTACT] = {"intact", SS_CLASS_INTACT, "the image is what was saved", "", "0.1"},
    [SS_UNSEALED] = {"unsealed", SS_CLASS_UNKNOWN, "the file has no seal, so nothing is known about it",
                     "if you know that it is good, saveseal seal gives it one", "0.1"},
    [SS_HEADER_MISMATCH] = {"header-mismatch", SS_CLASS_DAMAGED,
                            "the start of the image was changed after it was saved",
                            "do not use it: restore another copy", "0.1"},
    [SS_CONTENT_MISMATCH] = {"content-mismatch", SS_CLASS_DAMAGED,
                             "the content of the image was changed after it was saved",
                             "do not use it: restore another copy", "0.1"},
    [SS_TRUNCATED] = {"truncated", SS_CLASS_DAMAGED, "the end of the image is missing",
                      "do not use it: restore another copy", "0.1"},
    [SS_GROWN] = {"grown", SS_CLASS_DAMAGED, "the image is longer than it was when it was saved",
                  "find out what wrote to it; do not use it: restore another copy", "0.1"},
    [SS_SEAL_INVALID] = {"seal-invalid", SS_CLASS_DAMAGED, "the image's seal can not be read",
                         "do not trust it; if you know better, copy it from the backing directory", "0.1"},
    [SS_SEAL_TOO_NEW] = {"seal-too-new", SS_CLASS_UNKNOWN, "the image was sealed by a newer Saveseal",
                         "check it with that version or a later one", "0.1"},
    [SS_CHANGED_WHILE_READING] = {"changed-while-reading", SS_CLASS_TEMPORARY,
                                  "the image was changed while it was being read",
                                  "make sure that nothing writes to it, then try again", "0.1"},
    [SS_NOT_FOUND] = {"not-found", SS_CLASS_INVALID, "there is no such file", "check the name", "0.1"},
    [SS_NOT_A_FILE] = {"not-a-file", SS_CLASS_INVALID, "this is not a regular file", "name an image file", "0.1"},
    [SS_NOT_A_DRAFT] = {"not-a-draft", SS_CLASS_INVALID, "this is not a draft",
                        "run saveseal status to see the drafts and their ids", "0.1"},
    [SS_DEST_EXISTS] = {"dest-exists", SS_CLASS_INVALID, "there is already a file of that name",
                        "choose another name, or move the file away first", "0.1"},
    [SS_NO_PERMISSION] = {"no-permission", SS_CLASS_INVALID, "you are not allowed to do this",
                          "run it as the owner of the file or as root", "0.1"},
    [SS_IO_ERROR] = {"io-error", SS_CLASS_TEMPORARY, "the file could not be read or written",
                     "look for disk errors in the kernel log, then try again", "0.1"},
    [SS_USAGE] = {"usage", SS_CLASS_INVALID, "the command line is wrong", "run saveseal --help", "0.1"},
    [SS_HEADER_DAMAGED] = {"header-damaged", SS_CLASS_DAMAGED, "the image's own header does not make sense",
                           "do not use it: restore another copy", "0.1"},
    [SS_STREAM_DAMAGED] = {"stream-damaged", SS_CLASS_DAMAGED, "the saved memory in the image ends early or is damaged",
                           "do not use it: restore another copy", "0.1"},
    [SS_DESCRIPTION_DAMAGED] = {"description-damaged", SS_CLASS_DAMAGED,
                                "the description of the machine in the image can not be read",
                                "do not use it: restore another copy", "0.1"},
    [SS_HOST_INCOMPATIBLE] = {"host-incompatible", SS_CLASS_DAMAGED, "this host can not run what was saved",
                              "restore it on a host with the same kind of processor and programs as new", "0.1"},
    [SS_BITMAP_MISSING] = {"bitmap-missing", SS_CLASS_INCONSISTENT,
                           "a disk's bitmap of the checkpoint is missing or broken",
                           "delete this checkpoint and take a full backup", "0.1"},
    [SS_BITMAP_UNSUPPORTED] = {"bitmap-unsupported", SS_CLASS_INVALID, "a disk of this format can have no checkpoints",
                               "leave the disk out of the checkpoint, or convert it to qcow2", "0.1"},
    [SS_REQUEST_REFUSED] = {"request-refused", SS_CLASS_INVALID, "what was asked for is not possible",
                            "read the message and correct the request: the same will fail again", "0.1"},
    [SS_BUSY] = {"busy", SS_CLASS_TEMPORARY, "something else is being done with it",
                 "wait until that has ended, then try again", "0.1"},
    [SS_NO_SPACE] = {"no-space", SS_CLASS_TEMPORARY, "there is no space left, or no quota", "free some, then try again",
                     "0.1"},
    [SS_HOST_TROUBLE] = {"host-trouble", SS_CLASS_TEMPORARY, "the host or the connection to it had a failure",
                         "look at the logs of the host, then try again", "0.1"},
    [SS_UNCLASSIFIED] = {"unclassified", SS_CLASS_UNKNOWN, "the message does not tell whether to try again",
                         "look at the log of libvirt and of the machine; verify the image", "0.1"},
    [SS_NOT_LOCAL] = {"not-local", SS_CLASS_UNKNOWN, "the disk is no file of this host, so nothing is known about it",
                      "ask the virtual machine that uses it", "0.1"},
    [SS_COMPLETE] = {"complete", SS_CLASS_INTACT, "it has no seal, but it is complete by its own marks", "", "0.1"},
    [SS_END_UNPROVEN] = {"end-unproven", SS_CLASS_UNKNOWN, "nothing in it tells whether its end is there",
                         "compare it with another copy, or with what its program reported", "0.1"},
    [SS_FORMAT_UNSUPPORTED] = {"format-unsupported", SS_CLASS_UNKNOWN,
                               "this version or feature of its format is not known here",
                               "check it with the program that wrote it, or with a later Saveseal", "0.1"},
    [SS_STRUCTURE_DAMAGED] = {"structure-damaged", SS_CLASS_DAMAGED,
                              "a part of the image is missing, or contradicts the rest",
                              "do not use it: restore another copy", "0.1"},
    [SS_NEEDS_REPAIR] = {"needs-repair", SS_CLASS_DAMAGED, "the program that wrote it did not close it properly",
                         "copy it, then let its program repair the copy (qemu-img check -r all)", "0.1"},
    [SS_DIFFERS] = {"differs", SS_CLASS_DAMAGED, "the file is not the same as what it is compared with",
                    "do not use it, unless it was changed on purpose: restore another copy", "0.1"},
    [SS_NOT_LISTED] = {"not-listed", SS_CLASS_UNKNOWN, "there is nothing to compare the file with",
                       "make a manifest that has it, while it is known to be good", "0.1"},
    [SS_NOT_REACHED] = {"not-reached", SS_CLASS_TEMPORARY, "the time or the bytes that were allowed ended before it",
                        "run the same again: with --state it goes on where it stopped", "0.1"},
    [SS_QUARANTINED] = {"quarantined", SS_CLASS_UNKNOWN,
                        "somebody set the image aside with saveseal quarantine --force",
                        "ask who did it; salvage brings it back, discard deletes it", "0.1"},
    [SS_LEFT_OUT] = {"left-out", SS_CLASS_INTACT, "the domain does not have this disk any more", "", "0.1"},
};

/* Names, and ranks by severity, the worst first in line. */
static const struct {
    const char *name;
    unsigned severity;
} classes[] = {
    [SS_CLASS_INTACT] = {"intact", 0},
    [SS_CLASS_UNKNOWN] = {"unknown", 1},
    [SS_CLASS_TEMPORARY] = {"temporary", 2},
    [SS_CLASS_INVALID] = {"invalid-request", 3},
    [SS_CLASS_INCONSISTENT] = {"checkpoint-inconsistent", 4},
    [SS_CLASS_DAMAGED] = {"damaged", 5},
};

const struct ss_finding_text *ss_finding_text(enum ss_finding finding)
{
    return &findings[finding];
}

int ss_finding_parse(const char *id, enum ss_finding *finding)
{
    for (unsigned i = 0; i < SS_FINDING_COUNT; i++) {
        if (strcmp(findings[i].id, id) == 0) {
            *finding = (enum ss_finding)i;
            return 0;
        }
    }
    return -ENOENT;
}

enum ss_class ss_class_worse(enum ss_class a, enum ss_class b)
{
    return classes[a].severity >= classes[b].severity ? a : b;
}

const char *ss_class_name(enum ss_class class)
{
    return classes[class].name;
}
