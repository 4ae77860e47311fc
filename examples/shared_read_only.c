/*
 * Maps a file shared that was opened for reading, then asks to write to it.
 *
 * Refused by: the kernel, EACCES. A shared page would write to the file, and
 * the descriptor does not allow that; a private mapping would be granted.
 */
#include "example.h"

#include <fcntl.h>

int main(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	void *page;

	if (!report("open(this program, O_RDONLY)", fd != -1))
		return REFUSED;
	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (!report("mmap(R, shared)", page != MAP_FAILED))
		return REFUSED;
	if (!report("mprotect(RW)", mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0))
		return REFUSED;
	return GRANTED;
}
