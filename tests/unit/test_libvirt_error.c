#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/libvirt_error.h"
#include "core/util.h"

/* Messages as libvirt 9.0 and later give them (docs/verify.md). */
static const struct {
    int code;
    const char *message;
    const char *id;
} errors[] = {
    {9, "operation failed: save image is incomplete", "format-incomplete"},
    {9, "operation failed: image magic is incorrect", "header-damaged"},
    {9, "operation failed: image version is not supported (50331648 > 2)", "header-damaged"},
    {9, "operation failed: invalid header data length: 0", "header-damaged"},
    {9, "operation failed: failed to read qemu header", "truncated"},
    {9, "operation failed: failed to read domain XML", "truncated"},
    {9, "operation failed: Invalid compressed save format 77", "header-damaged"},
    {1, "internal error: qemu unexpectedly closed the monitor: qemu: load of migration failed: Input/output error",
     "stream-damaged"},
    {1, "internal error: qemu unexpectedly closed the monitor: qemu: Not a migration stream", "stream-damaged"},
    {9, "operation failed: /usr/lib/libvirt/libvirt_iohelper: unable to write: No space left on device", "no-space"},
    {38, "Failed to open file '/s/vm': No such file or directory", "not-found"},
    {38, "Failed to open file '/s/vm': Permission denied", "no-permission"},
    {38, "Failed to open file '/s/vm': Input/output error", "io-error"},
    {38, "Failed to open file '/s/vm': Device or resource busy", "busy"},
    {38, "something else: Level 3 halted", "unclassified"},
    {109, "checkpoint inconsistent: missing or broken bitmap 'ck1' for disk 'vdb'", "bitmap-missing"},
    {67, "unsupported configuration: checkpoint for disk vdb unsupported for storage type raw", "bitmap-unsupported"},
    {67, "unsupported configuration: something else", "request-refused"},
    {68, "Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainSave)",
     "busy"},
    {55, "Requested operation is not valid: domain is not running", "request-refused"},
    {42, "Domain not found: no domain with matching name 'x'", "request-refused"},
    {91, "the CPU is incompatible with host CPU: Host CPU does not provide required features: avx512f",
     "host-incompatible"},
    {87, "resource busy: another job", "busy"},
    {39, "Cannot recv data", "host-trouble"},
    {1, "internal error: something", "unclassified"},
    {9, "operation failed: something", "unclassified"},
    {38, "Failed to open file '/srv/No space left on device/vm': Permission denied", "no-permission"},
    {38, "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied", "no-permission"},
    {38, "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory", "host-trouble"},
    {45, "authentication failed: no", "no-permission"},
    {9, "operation failed: guest CPU doesn't match specification: missing features: avx512f", "host-incompatible"},
    {1, "internal error: process exited while connecting to monitor: qemu: Failed to get \"write\" lock", "busy"},
    {1, "internal error: qemu: load of migration failed: Cannot allocate memory", "host-trouble"},
    {55, "Requested operation is not valid: another backup job is already running", "busy"},
    {9, "operation failed: cannot restore domain 'a' uuid u from a file which belongs to domain 'b' uuid v",
     "request-refused"},
    {38, "End of file while reading data: Input/output error", "host-trouble"},
    {72, "Domain snapshot not found: no domain snapshot with matching name 's'", "request-refused"},
    {4711, "of a later libvirt", "unclassified"},
    {0, "", "unclassified"},
};

static void assert_id(int code, const char *message, const char *id)
{
    assert_string_equal(ss_finding_text(ss_libvirt_finding(code, message))->id, id);
}

static void test_codes(void **state)
{
    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(errors); i++)
        assert_id(errors[i].code, errors[i].message, errors[i].id);
}

/* The code is in the words that libvirt begins with, but for SYSTEM_ERROR and RPC, which have none. */
static void test_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(errors); i++)
        if (errors[i].code != 39 && errors[i].code != 45)
            assert_id(0, errors[i].message, errors[i].id);
    assert_id(0, "error: Failed to restore domain from /s/vm\nerror: operation failed: save image is incomplete\n",
              "format-incomplete");
    assert_id(0, "error: Failed to save domain 'vm'\nerror: Requested operation is not valid: domain is not running\n",
              "request-refused");
    assert_id(0,
              "error: failed to connect to the hypervisor\nerror: Failed to connect socket to "
              "'/run/libvirt/virtqemud-sock': No such file or directory\n",
              "host-trouble");
    assert_id(0,
              "error: failed to connect to the hypervisor\nerror: Failed to connect socket to "
              "'/run/libvirt/virtqemud-sock': Permission denied\n",
              "no-permission");
    assert_id(0, "error: failed to connect to the hypervisor\nerror: Cannot recv data: No such file or directory\n",
              "host-trouble");
    assert_id(0, "error: \n\n\nerror: ", "unclassified");
    assert_id(0, "\rSave: [ 12 %]error: operation aborted: domain save job: canceled by client", "host-trouble");
    assert_id(0, "2026-11-28 09:00:00.000+0000: 1: error : x:1 : internal error: load of migration failed",
              "stream-damaged");
    assert_id(0, "error: internal error: something", "unclassified");
    assert_id(0, "XML error: something", "request-refused");
    assert_id(0, "error: XML error: something", "request-refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
