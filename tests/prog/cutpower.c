/* cutpower DIR: what a power cut does to the file system of DIR. All that is not durable yet is gone: data in memory
 * and the journal's open transactions. Nothing works there any more until it is unmounted and mounted again. ext4 and
 * xfs. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same. */
#define IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2

int main(int argc, char **argv)
{
    uint32_t how = NO_LOG_FLUSH;

    if (argc != 2) {
        fputs("usage: cutpower DIR\n", stderr);
        return 2;
    }
    int fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, IOC_SHUTDOWN, &how) < 0) {
        perror(argv[1]);
        return 1;
    }
    close(fd);
    return 0;
}
