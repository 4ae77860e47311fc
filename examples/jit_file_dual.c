/*
 * Maps one file twice: code is written through the first view and called
 * through the second. No page is ever made executable after it was written,
 * so MDWE and SELinux's execmem have no objection.
 *
 * Refused by: a noexec mount (set TMPDIR to choose where the file is), SELinux
 * (execute on the file).
 */
#include "example.h"

int main(void)
{
	int fd = temporary_file();
	void *writable, *executable;

	if (fd == -1)
		return REFUSED;
	writable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!report("mmap(RW, shared file)", writable != MAP_FAILED))
		return REFUSED;
	executable = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (!report("mmap(RX, the same file)", executable != MAP_FAILED))
		return REFUSED;
	emit_return(writable, 1001);
	call_code(executable);
	return GRANTED;
}
