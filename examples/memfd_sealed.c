/*
 * Seals a memfd against writing, then asks to write to it.
 *
 * Refused by: the seal. A writable shared mapping fails with EPERM; making a
 * read-only one writable fails with EACCES. (Before Linux 6.7 the read-only
 * one is refused as well.)
 */
#include "example.h"

#include <fcntl.h>

int main(void)
{
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool at_once, later;
	void *page;

	if (!report("memfd_create", fd != -1))
		return REFUSED;
	if (!report("ftruncate", ftruncate(fd, PAGE) == 0))
		return REFUSED;
	if (!report("seal it against writing", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0))
		return REFUSED;
	at_once = report("mmap(RW, shared)",
			 mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (!report("mmap(R, shared)", page != MAP_FAILED))
		return REFUSED;
	later = report("mprotect(RW)", mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
	return at_once && later ? GRANTED : REFUSED;
}
