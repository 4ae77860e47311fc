/*
 * Like jit_file_dual.c, with a memfd: no file system is involved that could
 * be mounted noexec.
 *
 * Refused by: SELinux (execute on the memfd), a seccomp filter on memfd_create
 * or mmap.
 */
#include "example.h"

int main(void)
{
	int fd = memfd_create("jit", MFD_CLOEXEC);
	void *writable, *executable;

	if (!report("memfd_create", fd != -1))
		return REFUSED;
	if (!report("ftruncate", ftruncate(fd, PAGE) == 0))
		return REFUSED;
	writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!report("mmap(RW, shared memfd)", writable != MAP_FAILED))
		return REFUSED;
	executable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (!report("mmap(RX, the same memfd)", executable != MAP_FAILED))
		return REFUSED;
	emit_return(writable, 1001);
	call_code(executable);
	return GRANTED;
}
