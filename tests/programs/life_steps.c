/* One step for each byte on standard input: a hundred calls that succeed, one that is refused, its number printed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open("/proc/self/exe", O_RDONLY);
    char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
    char step, line[32];

    for (int number = 1; read(0, &step, 1) == 1; number++) {
        for (int i = 0; i < 100; i++)
            mprotect(page, 4096, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
        if (mprotect(shared, 4096, PROT_READ | PROT_WRITE) == 0 || errno != EACCES)
            return 1;
        write(1, line, snprintf(line, sizeof(line), "%d\n", number));
    }
    return 0;
}
