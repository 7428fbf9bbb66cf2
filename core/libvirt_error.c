#include "libvirt_error.h"

#include <stddef.h>
#include <string.h>

#include "util.h"

/* virErrorNumber, as far as saves and checkpoints meet them. */
enum {
    ANY = 0,
    INTERNAL_ERROR = 1,
    NO_MEMORY = 2,
    NO_SUPPORT = 3,
    INVALID_ARG = 8,
    OPERATION_FAILED = 9,
    XML_ERROR = 27,
    DOM_EXIST = 28,
    OPERATION_DENIED = 29,
    SYSTEM_ERROR = 38,
    RPC = 39,
    NO_DOMAIN = 42,
    OPERATION_INVALID = 55,
    CONFIG_UNSUPPORTED = 67,
    OPERATION_TIMEOUT = 68,
    NO_DOMAIN_SNAPSHOT = 72,
    ARGUMENT_UNSUPPORTED = 74,
    OPERATION_ABORTED = 78,
    OPERATION_UNSUPPORTED = 84,
    RESOURCE_BUSY = 87,
    ACCESS_DENIED = 88,
    CPU_INCOMPATIBLE = 91,
    INVALID_DOMAIN_CHECKPOINT = 102,
    NO_DOMAIN_CHECKPOINT = 103,
    NO_DOMAIN_BACKUP = 104,
    CHECKPOINT_INCONSISTENT = 109,
};

/* What libvirt begins a message with, by its code. */
static const struct {
    const char *words;
    int code;
} beginnings[] = {
    {"internal error: ", INTERNAL_ERROR},
    {"out of memory", NO_MEMORY},
    {"this function is not supported by the connection driver", NO_SUPPORT},
    {"invalid argument: ", INVALID_ARG},
    {"operation failed: ", OPERATION_FAILED},
    {"XML error: ", XML_ERROR},
    {"operation forbidden", OPERATION_DENIED},
    {"Domain not found", NO_DOMAIN},
    {"Requested operation is not valid: ", OPERATION_INVALID},
    {"unsupported configuration: ", CONFIG_UNSUPPORTED},
    {"Timed out during operation: ", OPERATION_TIMEOUT},
    {"argument unsupported: ", ARGUMENT_UNSUPPORTED},
    {"operation aborted: ", OPERATION_ABORTED},
    {"Operation not supported: ", OPERATION_UNSUPPORTED},
    {"resource busy: ", RESOURCE_BUSY},
    {"access denied", ACCESS_DENIED},
    {"the CPU is incompatible with host CPU", CPU_INCOMPATIBLE},
    {"Domain checkpoint not found", NO_DOMAIN_CHECKPOINT},
    {"checkpoint inconsistent: ", CHECKPOINT_INCONSISTENT},
};

/* What decides, the first row that fits. A code without words stands for whatever the message says. */
static const struct {
    int code;
    const char *words;
    enum ss_finding finding;
} rows[] = {
    {CHECKPOINT_INCONSISTENT, NULL, SS_BITMAP_MISSING},
    {ANY, "missing or broken bitmap", SS_BITMAP_MISSING},
    {ANY, "unsupported for storage type", SS_BITMAP_UNSUPPORTED},
    /* an image that libvirt refuses */
    {ANY, "save image is incomplete", SS_FORMAT_INCOMPLETE},
    {ANY, "failed to read qemu header", SS_TRUNCATED},
    {ANY, "failed to read domain XML", SS_TRUNCATED},
    {ANY, "failed to read cookie", SS_TRUNCATED},
    {ANY, "image magic is incorrect", SS_HEADER_DAMAGED},
    {ANY, "image version is not supported", SS_HEADER_DAMAGED},
    {ANY, "invalid header data length", SS_HEADER_DAMAGED},
    {ANY, "nvalid compressed save format", SS_HEADER_DAMAGED},
    {ANY, "unsupported save image format", SS_HEADER_DAMAGED},
    {ANY, "Not a migration stream", SS_STREAM_DAMAGED},
    {ANY, "load of migration failed", SS_STREAM_DAMAGED},
    /* the system's own words, whatever was tried */
    {ANY, "No space left on device", SS_NO_SPACE},
    {ANY, "Disk quota exceeded", SS_NO_SPACE},
    {ANY, "File too large", SS_NO_SPACE},
    {ANY, "Device or resource busy", SS_BUSY},
    {ANY, "Resource temporarily unavailable", SS_BUSY},
    {ANY, "Text file busy", SS_BUSY},
    {ANY, "state change lock", SS_BUSY},
    {ANY, "Input/output error", SS_IO_ERROR},
    {ANY, "Stale file handle", SS_IO_ERROR},
    {ANY, "Cannot allocate memory", SS_HOST_TROUBLE},
    {ANY, "Connection timed out", SS_HOST_TROUBLE},
    {ANY, "Connection refused", SS_HOST_TROUBLE},
    {ANY, "Connection reset by peer", SS_HOST_TROUBLE},
    {ANY, "Transport endpoint is not connected", SS_HOST_TROUBLE},
    {ANY, "Broken pipe", SS_HOST_TROUBLE},
    {ANY, "failed to connect to the hypervisor", SS_HOST_TROUBLE},
    {ANY, "Permission denied", SS_NO_PERMISSION},
    {ANY, "Operation not permitted", SS_NO_PERMISSION},
    {ANY, "Read-only file system", SS_NO_PERMISSION},
    {ANY, "No such file or directory", SS_NOT_FOUND},
    {ANY, "Is a directory", SS_NOT_A_FILE},
    /* virsh's */
    {ANY, "failed to get domain", SS_REQUEST_REFUSED},
    /* the code alone */
    {NO_MEMORY, NULL, SS_HOST_TROUBLE},
    {RPC, NULL, SS_HOST_TROUBLE},
    {OPERATION_TIMEOUT, NULL, SS_BUSY},
    {RESOURCE_BUSY, NULL, SS_BUSY},
    {OPERATION_ABORTED, NULL, SS_HOST_TROUBLE},
    {CPU_INCOMPATIBLE, NULL, SS_HOST_INCOMPATIBLE},
    {OPERATION_DENIED, NULL, SS_NO_PERMISSION},
    {ACCESS_DENIED, NULL, SS_NO_PERMISSION},
    {NO_SUPPORT, NULL, SS_REQUEST_REFUSED},
    {INVALID_ARG, NULL, SS_REQUEST_REFUSED},
    {XML_ERROR, NULL, SS_REQUEST_REFUSED},
    {DOM_EXIST, NULL, SS_REQUEST_REFUSED},
    {NO_DOMAIN, NULL, SS_REQUEST_REFUSED},
    {OPERATION_INVALID, NULL, SS_REQUEST_REFUSED},
    {CONFIG_UNSUPPORTED, NULL, SS_REQUEST_REFUSED},
    {NO_DOMAIN_SNAPSHOT, NULL, SS_REQUEST_REFUSED},
    {ARGUMENT_UNSUPPORTED, NULL, SS_REQUEST_REFUSED},
    {OPERATION_UNSUPPORTED, NULL, SS_REQUEST_REFUSED},
    {INVALID_DOMAIN_CHECKPOINT, NULL, SS_REQUEST_REFUSED},
    {NO_DOMAIN_CHECKPOINT, NULL, SS_REQUEST_REFUSED},
    {NO_DOMAIN_BACKUP, NULL, SS_REQUEST_REFUSED},
};

/* virsh prints "error: " before each line, and what it wanted to do in the first. */
static int code_of(const char *message)
{
    for (const char *line = message; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "error: ", 7) == 0)
            line += 7;
        for (size_t i = 0; i < SS_ARRAY_SIZE(beginnings); i++)
            if (strncmp(line, beginnings[i].words, strlen(beginnings[i].words)) == 0)
                return beginnings[i].code;
    }
    return ANY;
}

enum ss_finding ss_libvirt_finding(int code, const char *message)
{
    if (code == ANY)
        code = code_of(message);
    for (size_t i = 0; i < SS_ARRAY_SIZE(rows); i++)
        if (rows[i].words ? strstr(message, rows[i].words) != NULL : rows[i].code == code)
            return rows[i].finding;
    return SS_UNCLASSIFIED;
}
