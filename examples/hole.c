/*
 * Changes three pages with one call, the second of which is not there.
 *
 * Refused by: the kernel, ENOMEM, though there is memory enough: it means that
 * part of the range is not mapped. The page before the hole has changed.
 */
#include "example.h"

int main(void)
{
	char *pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool granted;

	if (!report("mmap(RW, 3 pages)", pages != MAP_FAILED))
		return REFUSED;
	if (!report("munmap of the second", munmap(pages + PAGE, PAGE) == 0))
		return REFUSED;
	show_pages("before", pages, 3);
	granted = report("mprotect(R) of all three", mprotect(pages, 3 * PAGE, PROT_READ) == 0);
	show_pages("after", pages, 3);
	return granted ? GRANTED : REFUSED;
}
