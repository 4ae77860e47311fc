/* Code in memory of the device that its argument names, at once and later. */
#include "case.h"

int main(int argc, char **argv)
{
	int fd = open(argv[argc - 1], O_RDWR);
	char *memory;

	need(fd >= 0, argv[argc - 1]);
	mmap_call(NULL, PAGE, RWX, MAP_PRIVATE, fd, 0);
	memory = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	need(memory != MAP_FAILED, "memory of it");
	return mprotect(memory, PAGE, RX) != 0;
}
