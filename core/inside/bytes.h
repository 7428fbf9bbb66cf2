/* Integers in the bytes of a file, at any address. */
#ifndef SAVESEAL_CORE_INSIDE_BYTES_H
#define SAVESEAL_CORE_INSIDE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define SS_BYTES_READER(name, bits, convert)                                                                           \
    static inline uint##bits##_t name(const unsigned char *at)                                                         \
    {                                                                                                                  \
        uint##bits##_t value;                                                                                          \
        memcpy(&value, at, sizeof value);                                                                              \
        return convert(value);                                                                                         \
    }

SS_BYTES_READER(ss_be16, 16, be16toh)
SS_BYTES_READER(ss_be32, 32, be32toh)
SS_BYTES_READER(ss_be64, 64, be64toh)
SS_BYTES_READER(ss_le16, 16, le16toh)
SS_BYTES_READER(ss_le32, 32, le32toh)
SS_BYTES_READER(ss_le64, 64, le64toh)

#endif
