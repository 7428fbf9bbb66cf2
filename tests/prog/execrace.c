/* execrace NAME GENERATIONS: threads open, write and close two files while another thread of the process calls exec,
 * which kills them wherever they are, also inside open(); again and again. Every descriptor is closed well, by close()
 * or by exec. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 4
#define FILES 2
#define SIZE_MAX_BYTES 100000

static const char *base;

static void *keep_writing(void *context)
{
    static const char bytes[SIZE_MAX_BYTES];
    const int *number = context;
    unsigned seed = (unsigned)(*number + getpid());
    char path[4096];

    snprintf(path, sizeof path, "%s.%d", base, *number % FILES);
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
            continue;
        if (pwrite(fd, bytes, 1 + (size_t)rand_r(&seed) % SIZE_MAX_BYTES, 0) < 0)
            perror(path);
        if (rand_r(&seed) % 2)
            close(fd); /* else exec closes it */
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static int numbers[THREADS];
    char left[16];

    int generations = argc == 3 ? atoi(argv[2]) : 0;
    if (generations <= 0)
        return argc == 3 ? 0 : 2;
    base = argv[1];
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        numbers[i] = i;
        if (pthread_create(&thread, NULL, keep_writing, &numbers[i]) != 0)
            return 1;
    }
    unsigned seed = (unsigned)(generations * 77 + getpid());
    usleep((useconds_t)rand_r(&seed) % 8000);
    snprintf(left, sizeof left, "%d", generations - 1);
    execl("/proc/self/exe", "execrace", base, left, (char *)NULL);
    return 1;
}
