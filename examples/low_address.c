/*
 * Maps the page at address zero.
 *
 * Refused by: vm.mmap_min_addr, EPERM, unless the process has CAP_SYS_RAWIO;
 * the program gives that up first, so that root sees the refusal as well.
 */
#include "example.h"

#include <linux/capability.h>
#include <sys/syscall.h>

static bool drop_rawio(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];

	if (syscall(SYS_capget, &header, sets) != 0)
		return false;
	sets[0].effective &= ~(1U << CAP_SYS_RAWIO);
	return syscall(SYS_capset, &header, sets) == 0;
}

int main(void)
{
	void *page;

	if (!report("give up CAP_SYS_RAWIO", drop_rawio()))
		return REFUSED;
	page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (!report("mmap(R) at address 0", page != MAP_FAILED))
		return REFUSED;
	return GRANTED;
}
