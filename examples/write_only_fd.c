/*
 * Maps a file that was opened for writing only, and asks for nothing but
 * writing.
 *
 * Refused by: the kernel, EACCES. Every mapping needs a descriptor that can
 * read.
 */
#include "example.h"

#include <fcntl.h>

int main(void)
{
	int fd = temporary_file();
	char path[32];

	if (fd == -1)
		return REFUSED;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_WRONLY);
	if (!report("open(the same file, O_WRONLY)", fd != -1))
		return REFUSED;
	if (!report("mmap(W, shared)", mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED))
		return REFUSED;
	return GRANTED;
}
