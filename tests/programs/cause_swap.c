/* A file that is swap space in use, mapped to be written to. Takes its path; needs root. */
#include "case.h"
#include <sys/swap.h>

#define PAGES 16

int main(int argc, char **argv)
{
	/* include/linux/swap.h: union swap_header, which mkswap writes. */
	unsigned header[3] = {1, PAGES - 1, 0};
	char page[PAGE] = {0};
	int fd, refused;

	need(argc == 2, "without the path of a file");
	fd = open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600);
	need(fd != -1, "a file");
	for (int i = 0; i < PAGES; i++)
		need(write(fd, page, PAGE) == (ssize_t)PAGE, "its pages");
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	need(pwrite(fd, page, PAGE, 0) == (ssize_t)PAGE, "the signature");
	need(pwrite(fd, header, sizeof(header), 1024) == sizeof(header), "the header");
	need(fsync(fd) == 0, "the file on disk");
	if (swapon(argv[1], 0) != 0)
		return 77;
	errno = 0;
	refused = mmap_call(NULL, PAGE, RW, MAP_SHARED, fd, 0) == -1 ? errno : 0;
	need(swapoff(argv[1]) == 0, "the end of it");
	printf("%d\n", refused);
	return refused != 0;
}
