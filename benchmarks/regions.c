/* Makes many regions (neighbours differ in protection), then flips pages all over them. */
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1000, flips = argc > 2 ? atol(argv[2]) : 100000;
	char *memory = mmap(NULL, count * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return 1;
	for (long i = 0; i < count; i += 2)
		mprotect(memory + i * 4096, 4096, PROT_READ | PROT_WRITE);
	for (long i = 0; i < flips; i++) {
		/* Every other page, so that no two regions become one: the number stays. */
		long page = (i * 7919 % (count / 2)) * 2;

		mprotect(memory + page * 4096, 4096, i / (count / 2) & 1 ? PROT_READ | PROT_WRITE : PROT_NONE);
	}
	return 0;
}
