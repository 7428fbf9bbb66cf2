/* Any bytes as the state of a verification. What was read can be written, and reads as the same again. */
#include <stdlib.h>
#include <string.h>

#include "core/check/verify_state.h"
#include "core/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_again(const struct ss_verify_state *state)
{
    char *text = malloc((state->count + 1) * SS_VERIFY_STATE_LINE_MAX);
    struct ss_verify_state again;
    size_t line;

    require(text != NULL);
    ssize_t len = ss_verify_state_encode(state, text);
    require(len > 0);
    for (size_t i = 0; i < state->count; i++) {
        ssize_t more = ss_verify_result_encode(&state->result[i], text + len);
        require(more > 0);
        len += more;
    }
    require(ss_verify_state_decode(text, (size_t)len, &again, &line) == 0 && again.count == state->count);
    require(again.finished == state->finished && strcmp(again.mode, state->mode) == 0);
    for (size_t i = 0; i < state->count; i++) {
        require(strcmp(again.result[i].path, state->result[i].path) == 0);
        require(ss_verify_state_find(&again, state->result[i].path) != NULL);
    }
    ss_verify_state_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ss_verify_state state;
    size_t line;

    if (ss_verify_state_decode((const char *)data, size, &state, &line) < 0)
        return 0;
    check_again(&state);
    ss_verify_state_free(&state);
    return 0;
}
