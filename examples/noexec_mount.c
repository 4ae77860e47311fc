/*
 * Maps a file on a file system mounted noexec as code, in one step and in two.
 *
 * Refused by: the mount. mmap fails with EPERM, mprotect with EACCES.
 *
 * Takes the path of a file on such a mount; without one it creates a file in
 * the first noexec place it finds. To have one:
 *   unshare -rm sh -c 'mount -t tmpfs -o noexec none /mnt && cp /etc/passwd /mnt &&
 *                      exec build/noexec_mount /mnt/passwd'
 */
#include "example.h"

#include <fcntl.h>
#include <sys/statvfs.h>

static int file_on_noexec_mount(void)
{
	static const char *const places[] = {"/dev/shm", "/tmp", "/var/tmp", "/run/lock"};
	struct statvfs mount;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (statvfs(places[i], &mount) == 0 && mount.f_flag & ST_NOEXEC) {
			say("%s is mounted noexec\n", places[i]);
			setenv("TMPDIR", places[i], 1);
			return temporary_file();
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	int fd = argc > 1 ? open(argv[1], O_RDONLY) : file_on_noexec_mount();
	bool one_step, two_steps;
	void *page;

	if (fd == -1 && argc > 1) {
		report(argv[1], false);
		return REFUSED;
	}
	if (fd == -1) {
		say("found no noexec mount to write to; name a file on one\n");
		return NOT_HERE;
	}
	one_step = report("mmap(RX)",
			  mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED);
	page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!report("mmap(R)", page != MAP_FAILED))
		return REFUSED;
	two_steps = report("mprotect(RX)", mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0);
	return one_step && two_steps ? GRANTED : REFUSED;
}
