/* Some processes at once, each flipping one page, until together they have flipped so often. */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 10, flips = argc > 2 ? atol(argv[2]) : 100000;
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (long i = 0; i < count; i++)
		if (fork() == 0) {
			for (long k = 0; k < flips / count; k++)
				mprotect(page, 4096, k & 1 ? PROT_READ | PROT_WRITE : PROT_READ);
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	return 0;
}
