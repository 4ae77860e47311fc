/*
 * Changes four pages with one call, the third of which may not be changed.
 *
 * Refused by: the kernel, EACCES, because the third page is a shared mapping of
 * a file opened for reading. The first two pages have changed all the same.
 */
#include "example.h"

#include <fcntl.h>

int main(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *pages;
	bool granted;

	if (!report("open(this program, O_RDONLY)", fd != -1))
		return REFUSED;
	pages = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!report("mmap(R, 4 anonymous pages)", pages != MAP_FAILED))
		return REFUSED;
	if (!report("mmap(R, shared file) as the third",
		    mmap(pages + 2 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED))
		return REFUSED;
	show_pages("before", pages, 4);
	granted = report("mprotect(RW) of all four",
			 mprotect(pages, 4 * PAGE, PROT_READ | PROT_WRITE) == 0);
	show_pages("after", pages, 4);
	return granted ? GRANTED : REFUSED;
}
