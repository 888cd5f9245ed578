/* The clock of the processes of a chaos run: CLOCK_REALTIME differs from the machine's by the seconds that the file
   named in CONTINUOUS_GTFS_CHAOS_CLOCK holds. Steady clocks are right, and a wait ends when it should: until a time of
   this clock is until that time of the kernel's. Loaded by LD_PRELOAD, which only the chaos run sets. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* What lies after this is a moment since 1970 and not since the machine was started. */
#define SINCE_1970 1000000000L
#define LOOK_EVERY_NS 200000000L

static long kernel(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static long ahead(void)
{
    static volatile long seconds, looked_at;
    struct timespec now;
    char text[32];
    kernel(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
    long at = now.tv_sec * 1000000000L + now.tv_nsec;
    if (looked_at && at - looked_at < LOOK_EVERY_NS)
        return seconds;
    looked_at = at;
    const char *path = getenv("CONTINUOUS_GTFS_CHAOS_CLOCK");
    long file = path ? kernel(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0) : -1;
    if (file < 0)
        return seconds;
    long size = kernel(SYS_read, file, (long)text, sizeof text - 1, 0, 0, 0);
    kernel(SYS_close, file, 0, 0, 0, 0, 0);
    if (size > 0) {
        text[size] = 0;
        seconds = strtol(text, NULL, 10);
    }
    return seconds;
}

static struct timespec of_the_kernel(const struct timespec *moment)
{
    struct timespec right = *moment;
    if (right.tv_sec > SINCE_1970)
        right.tv_sec -= ahead();
    return right;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long result = kernel(SYS_clock_gettime, clock, (long)now, 0, 0, 0, 0);
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += ahead();
    return 0;
}

time_t time(time_t *to)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to)
        *to = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *to, void *zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    int (*real)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec right = of_the_kernel(until);
    return real(semaphore, &right);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    struct timespec right = of_the_kernel(until);
    return real(condition, mutex, &right);
}

long syscall(long number, ...)
{
    va_list rest;
    long a[6];
    struct timespec right;
    va_start(rest, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_futex && a[1] & FUTEX_CLOCK_REALTIME && a[3]) {
        right = of_the_kernel((const struct timespec *)a[3]);
        a[3] = (long)&right;
    }
    long result = kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
