#include "libvirt_error.h"

#include <stdbool.h>
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
    AUTH_FAILED = 45,
    OPERATION_INVALID = 55,
    CONFIG_UNSUPPORTED = 67,
    OPERATION_TIMEOUT = 68,
    NO_DOMAIN_SNAPSHOT = 72,
    ARGUMENT_UNSUPPORTED = 74,
    OPERATION_ABORTED = 78,
    AUTH_CANCELLED = 79,
    AUTH_UNAVAILABLE = 80,
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
    {"Invalid domain checkpoint", INVALID_DOMAIN_CHECKPOINT},
    {"Domain snapshot not found", NO_DOMAIN_SNAPSHOT},
    {"Domain backup job id not found", NO_DOMAIN_BACKUP},
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
    {ANY, "is inconsistent and cannot be used", SS_BITMAP_MISSING},
    {ANY, "Dirty bitmap", SS_BITMAP_MISSING},
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
    {ANY, "belongs to domain", SS_REQUEST_REFUSED},
    {ANY, "guest CPU doesn't match specification", SS_HOST_INCOMPATIBLE},
    {ANY, "CPU are not compatible", SS_HOST_INCOMPATIBLE},
    {ANY, "does not support machine type", SS_HOST_INCOMPATIBLE},
    {ANY, "load of migration failed: Cannot allocate memory", SS_HOST_TROUBLE},
    {ANY, "Not a migration stream", SS_STREAM_DAMAGED},
    {ANY, "load of migration failed", SS_STREAM_DAMAGED},
    /* the system's own words, whatever was tried */
    {ANY, "No space left on device", SS_NO_SPACE},
    {ANY, "Disk quota exceeded", SS_NO_SPACE},
    {ANY, "File too large", SS_REQUEST_REFUSED},
    {ANY, "Device or resource busy", SS_BUSY},
    {ANY, "another process using the image", SS_BUSY},
    {ANY, "Failed to get \"write\" lock", SS_BUSY},
    {ANY, "Failed to get shared \"write\" lock", SS_BUSY},
    {ANY, "backup job is already running", SS_BUSY},
    {ANY, "is already being", SS_BUSY},
    {ANY, "Resource temporarily unavailable", SS_BUSY},
    {ANY, "Text file busy", SS_BUSY},
    {ANY, "state change lock", SS_BUSY},
    {ANY, "End of file while reading data", SS_HOST_TROUBLE},
    {ANY, "client socket is closed", SS_HOST_TROUBLE},
    {ANY, "keepalive timeout", SS_HOST_TROUBLE},
    {ANY, "Input/output error", SS_IO_ERROR},
    {ANY, "Stale file handle", SS_IO_ERROR},
    {ANY, "Cannot allocate memory", SS_HOST_TROUBLE},
    {ANY, "Connection timed out", SS_HOST_TROUBLE},
    {ANY, "Connection refused", SS_HOST_TROUBLE},
    {ANY, "Connection reset by peer", SS_HOST_TROUBLE},
    {ANY, "Transport endpoint is not connected", SS_HOST_TROUBLE},
    {ANY, "Broken pipe", SS_HOST_TROUBLE},
    {ANY, "Permission denied", SS_NO_PERMISSION},
    {ANY, "authentication unavailable", SS_NO_PERMISSION},
    {ANY, "authentication failed", SS_NO_PERMISSION},
    {ANY, "no connection driver available", SS_REQUEST_REFUSED},
    {ANY, "Operation not permitted", SS_NO_PERMISSION},
    {ANY, "Read-only file system", SS_NO_PERMISSION},
    /* what is not there is the daemon's socket */
    {ANY, "failed to connect to the hypervisor", SS_HOST_TROUBLE},
    {ANY, "Failed to connect socket to", SS_HOST_TROUBLE},
    {ANY, "No such file or directory", SS_NOT_FOUND},
    {ANY, "Is a directory", SS_NOT_A_FILE},
    {ANY, "already exists with uuid", SS_REQUEST_REFUSED},
    {ANY, "failed to validate against schema", SS_REQUEST_REFUSED},
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
    {AUTH_FAILED, NULL, SS_NO_PERMISSION},
    {AUTH_CANCELLED, NULL, SS_NO_PERMISSION},
    {AUTH_UNAVAILABLE, NULL, SS_NO_PERMISSION},
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

static int code_at(const char *text)
{
    for (size_t i = 0; i < SS_ARRAY_SIZE(beginnings); i++)
        if (strncmp(text, beginnings[i].words, strlen(beginnings[i].words)) == 0)
            return beginnings[i].code;
    return ANY;
}

/* virsh prints "error: " before each line, and before that perhaps how far it is, and says in the first what it wanted
 * to do. */
static int code_of(const char *message)
{
    int code = ANY;

    for (const char *line = message; line && code == ANY; line = strchr(line, '\n')) {
        line += *line == '\n';
        code = code_at(line);
        const char *error = memmem(line, strcspn(line, "\n"), "error: ", 7);
        if (code == ANY && error)
            code = code_at(error + 7);
    }
    return code;
}

/* The words, but not as a part of a file's path. */
static bool says(const char *message, const char *words)
{
    size_t len = strlen(words);

    for (const char *at = strstr(message, words); at; at = strstr(at + 1, words))
        if ((at == message || at[-1] != '/') && at[len] != '/')
            return true;
    return false;
}

enum ss_finding ss_libvirt_finding(int code, const char *message)
{
    if (code == ANY)
        code = code_of(message);
    for (size_t i = 0; i < SS_ARRAY_SIZE(rows); i++)
        if (rows[i].words ? says(message, rows[i].words) : rows[i].code == code)
            return rows[i].finding;
    return SS_UNCLASSIFIED;
}
