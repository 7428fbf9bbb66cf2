/* What to do about an error of libvirt. */
#ifndef SAVESEAL_CORE_LIBVIRT_ERROR_H
#define SAVESEAL_CORE_LIBVIRT_ERROR_H

#include "finding.h"

/* The finding for an error: its code (virErrorNumber; 0 when it is not known) and its message, in English, as
 * virErrorPtr has it or as virsh prints it, several lines or one. Codes alone are ambiguous: OPERATION_FAILED (9)
 * stands for an incomplete image and for a full disk, INTERNAL_ERROR (1) for a stream that was cut. Where the code is
 * not known the words that libvirt begins each message with tell it. SS_UNCLASSIFIED when neither tells what to do.
 * Pure; any thread. Sources: libvirt's include/libvirt/virterror.h and src/qemu/qemu_saveimage.c, docs/verify.md. */
enum ss_finding ss_libvirt_finding(int code, const char *message);

#endif
