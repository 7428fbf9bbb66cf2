#include "slot.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs.h"
#include "save.h"

static _Thread_local struct ss_slot *mine;
static _Thread_local const struct fuse_in_header *my_request; /* in its buffer */

struct ss_slot *ss_slot_mine(void)
{
    return mine;
}

uint64_t ss_slot_request_number(void)
{
    return mine ? my_request->unique & ~SS_RESENT : 0;
}

struct ss_slot *ss_slot_at(struct ss_fs *fs, uint32_t index)
{
    return &fs->shared->slots[index];
}

struct fuse_in_header *ss_slot_request(struct ss_fs *fs, const struct ss_slot *slot)
{
    size_t index = (size_t)(slot - fs->shared->slots);
    return (struct fuse_in_header *)(void *)(fs->requests + index * SS_SLOT_BUFFER_SIZE);
}

/* All but its state. The request's length first: from then on there is nothing to adopt. */
void ss_slot_clear(struct ss_fs *fs, struct ss_slot *slot)
{
    struct fuse_in_header *request = ss_slot_request(fs, slot);

    __atomic_store_n(&request->len, 0, __ATOMIC_SEQ_CST);
    int pin = atomic_exchange(&slot->pin, -1); /* before it is closed, or another slot may have the same number */
    if (pin >= 0)
        close(pin);
    slot->node = slot->save = SS_NONE;
    slot->handle = SS_SLOT_NO_HANDLE;
    slot->faults = slot->forgotten = 0;
    slot->begun = slot->inherited = false;
    atomic_store(&slot->reply_len, 0);
    atomic_store(&slot->answered, false);
}

/* The kernel copies a request into pages that it looks up. Where one is not mapped yet it has to wait for it, and when
 * the worker is killed in that moment it ends the request with EIO instead of sending it again (seen on Linux 6.18 in
 * one of twenty kills). So all are mapped before. */
static void map_pages(char *at, size_t size)
{
    mlock(at, 4096); /* where nearly every request fits in; a limit may forbid it */
    if (madvise(at, size, MADV_POPULATE_WRITE) == 0)
        return;
    for (size_t i = 0; i < size; i += 4096) /* Linux before 5.14 */
        *(volatile char *)(at + i) = 0;
}

int ss_slot_begin(struct ss_fs *fs)
{
    for (uint32_t i = 0; i < SS_SLOTS_MAX; i++) {
        struct ss_slot *slot = ss_slot_at(fs, i);
        enum ss_slot_state state = SS_SLOT_FREE;
        if (!atomic_compare_exchange_strong(&slot->state, &state, SS_SLOT_THREAD))
            continue;
        slot->pin = -1;
        ss_slot_clear(fs, slot);
        map_pages((char *)ss_slot_request(fs, slot), SS_SLOT_BUFFER_SIZE);
        mine = slot;
        my_request = ss_slot_request(fs, slot);
        return 0;
    }
    return -ENFILE;
}

void ss_slot_end(struct ss_fs *fs)
{
    struct ss_slot *slot = mine;

    mine = NULL;
    ss_arena_discard(&fs->arena, ss_slot_request(fs, slot), SS_SLOT_BUFFER_SIZE);
    atomic_store(&slot->state, SS_SLOT_FREE);
}

/* libfuse answers INTERRUPTs that came too late whenever another request comes along. */
static bool is_mine(const struct iovec *iov)
{
    const struct fuse_out_header *header = iov[0].iov_base;
    return mine && iov[0].iov_len >= sizeof *header && header->unique == my_request->unique;
}

bool ss_slot_note_reply(const struct iovec *iov, int count)
{
    uint32_t len = 0;

    if (!is_mine(iov))
        return false;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > SS_SLOT_REPLY_MAX - len)
            return true;
        memcpy(mine->reply + len, iov[i].iov_base, iov[i].iov_len);
        len += (uint32_t)iov[i].iov_len;
    }
    atomic_store(&mine->reply_len, len);
    return true;
}

void ss_slot_note_answered(void)
{
    if (mine)
        atomic_store(&mine->answered, true);
}

void ss_slot_note_node(uint32_t node)
{
    if (mine)
        mine->node = node;
}

void ss_slot_note_handle(uint64_t fh)
{
    if (mine)
        mine->handle = fh;
}

void ss_slot_note_save(uint32_t save, uint64_t serial)
{
    if (!mine)
        return;
    mine->save_serial = serial;
    mine->save = save;
}

void ss_slot_note_forgotten(void)
{
    if (mine)
        mine->forgotten++;
}

void ss_slot_drop_node(uint32_t node)
{
    if (mine && mine->node == node)
        mine->node = SS_NONE;
}

void ss_slot_drop_handle(uint64_t fh)
{
    if (mine && mine->handle == fh)
        mine->handle = SS_SLOT_NO_HANDLE;
}

void ss_slot_note_begun_to_save(int fd, uint32_t save, uint64_t serial, bool both)
{
    if (!mine) {
        if (fd >= 0)
            close(fd);
        return;
    }
    int old = mine->pin;
    atomic_store(&mine->begun, false); /* nothing of the old notes with anything of the new */
    ss_slot_note_save(save, serial);
    mine->both = both;
    mine->pin = fd;
    atomic_store(&mine->begun, true);
    if (old >= 0)
        close(old);
}

void ss_slot_note_begun(int fd)
{
    ss_slot_note_begun_to_save(fd, SS_NONE, 0, false);
}

bool ss_slot_was_begun(int *pin)
{
    *pin = mine ? mine->pin : -1;
    return mine && mine->begun;
}

uint32_t ss_slot_was_begun_to(struct ss_fs *fs, bool *to_save)
{
    *to_save = mine && mine->begun && mine->save != SS_NONE;
    return *to_save && ss_save_is(fs, mine->save, mine->save_serial) ? mine->save : SS_NONE;
}

bool ss_slot_was_for_both(void)
{
    return mine && mine->both;
}
