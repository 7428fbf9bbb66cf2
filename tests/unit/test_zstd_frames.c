/* What the heads of zstd's frames say, however they are cut into pieces. The frames are made by hand, after RFC 8878.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those before it. */
#include <cmocka.h>
#include <string.h>

#include "core/inside/zstd_frames.h"
#include "core/util.h"

#define MAGIC "\x28\xb5\x2f\xfd"
#define SKIPPABLE "\x5e\x2a\x4d\x18"
#define LAST_EMPTY "\x01\x00\x00" /* a raw block of no bytes, the last */
#define RAW_3                                                                                                          \
    "\x18\x00\x00"                                                                                                     \
    "abc" /* a raw block of 3 bytes */
#define RLE_LAST                                                                                                       \
    "\x03\x00\x08"                                                                                                     \
    "z" /* one byte that stands for 65536, the last block */
#define PACKED_LAST_2                                                                                                  \
    "\x15\x00\x00"                                                                                                     \
    "??" /* a packed block of 2 bytes, the last */
#define SIZED(text) text, sizeof(text) - 1

static const struct {
    const char *what, *bytes;
    size_t len;
    uint64_t window;
    bool lost;
} rows[] = {
    {"nothing", "", 0, 0, false},
    {"a head that is cut", SIZED(MAGIC "\x00"), 0, false},
    {"the smallest window", SIZED(MAGIC "\x00\x00" LAST_EMPTY), 1024, false},
    {"with an eighth more", SIZED(MAGIC "\x00\x01" LAST_EMPTY), 1024 + 128, false},
    {"8 MiB", SIZED(MAGIC "\x00\x68" LAST_EMPTY), 8 << 20, false},
    {"the largest window", SIZED(MAGIC "\x00\xff" LAST_EMPTY), (UINT64_C(1) << 41) / 8 * 15, false},
    {"a size of one byte", SIZED(MAGIC "\x20\x63" LAST_EMPTY), 99, false},
    {"of two, which begin at 256", SIZED(MAGIC "\x60\x00\x01" LAST_EMPTY), 512, false},
    {"of four", SIZED(MAGIC "\xa0\x00\x00\x00\x80" LAST_EMPTY), UINT64_C(0x80000000), false},
    {"of eight", SIZED(MAGIC "\xe0\x01\x00\x00\x00\x00\x00\x00\x40" LAST_EMPTY), UINT64_C(0x4000000000000001), false},
    {"a window and a size, which does not count", SIZED(MAGIC "\x40\x08\xff\xff" LAST_EMPTY), 2048, false},
    {"a dictionary of one byte", SIZED(MAGIC "\x21\x07\x63" LAST_EMPTY), 99, false},
    {"of two", SIZED(MAGIC "\x22\x07\x07\x63" LAST_EMPTY), 99, false},
    {"of four", SIZED(MAGIC "\x23\x07\x07\x07\x07\x63" LAST_EMPTY), 99, false},
    {"the second frame needs more", SIZED(MAGIC "\x20\x05" RAW_3 PACKED_LAST_2 MAGIC "\x00\x08" RLE_LAST), 2048, false},
    {"the second frame needs less", SIZED(MAGIC "\x00\x08" RLE_LAST MAGIC "\x20\x05" RAW_3 LAST_EMPTY), 2048, false},
    {"a checksum is passed over", SIZED(MAGIC "\x24\x03" RAW_3 LAST_EMPTY "sum!" MAGIC "\x00\x00" LAST_EMPTY), 1024,
     false},
    {"no block is taken for a frame",
     SIZED(MAGIC "\x20\x14"
                 "\xa1\x00\x00" MAGIC "\x00\xff"
                 "0123456789abcd" MAGIC "\x20\x15" LAST_EMPTY),
     21, false},
    {"a frame to skip", SIZED(SKIPPABLE "\x06\x00\x00\x00" MAGIC "\x00\xff" MAGIC "\x20\x09" LAST_EMPTY), 9, false},
    {"one of no bytes", SIZED(SKIPPABLE "\x00\x00\x00\x00" MAGIC "\x20\x09" LAST_EMPTY), 9, false},
    {"one that never ends", SIZED(SKIPPABLE "\xff\xff\xff\xff" MAGIC "\x00\xff"), 0, false},
    {"something else", SIZED("\x1f\x8b\x08\x00" MAGIC "\x00\xff" LAST_EMPTY), 0, true},
    {"something else behind a frame", SIZED(MAGIC "\x20\x09" LAST_EMPTY "hello" MAGIC "\x00\xff"), 9, true},
    {"a block of no known kind",
     SIZED(MAGIC "\x20\x09"
                 "\x06\x00\x00" MAGIC "\x00\xff"),
     9, true},
};

/* In pieces of step bytes. */
static void feed(const char *bytes, size_t len, size_t step, struct ss_zstd_frames *frames)
{
    memset(frames, 0, sizeof *frames);
    for (size_t at = 0; at < len; at += step)
        ss_zstd_frames_feed(frames, (const unsigned char *)bytes + at, len - at < step ? len - at : step);
}

static void says_what_is_needed(void **state)
{
    struct ss_zstd_frames frames;

    (void)state;
    for (size_t i = 0; i < SS_ARRAY_SIZE(rows); i++) {
        for (size_t step = 1; step <= rows[i].len + 1; step++) {
            feed(rows[i].bytes, rows[i].len, step, &frames);
            if (frames.window != rows[i].window || frames.lost != rows[i].lost)
                fail_msg("%s, %zu bytes at a time: %llu, %s", rows[i].what, step, (unsigned long long)frames.window,
                         frames.lost ? "lost" : "not lost");
        }
    }
}

/* What counts is known before the first block is there: nobody has taken memory yet. */
static void says_it_in_time(void **state)
{
    static const char head[] = MAGIC "\x00\x68";
    struct ss_zstd_frames frames;

    (void)state;
    feed(head, sizeof head - 1, 1, &frames);
    assert_int_equal(frames.window, 8 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_needed),
        cmocka_unit_test(says_it_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
