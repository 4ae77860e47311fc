/*
 * A tree of processes whose files or memory it serves itself, so that whoever waits for them waits for it:
 *   fuse DIRECTORY    mounts a file system on DIRECTORY (in a mount namespace of its own), whose one file is this
 *                     program; runs it from there, and there it is refused memory by that very file
 *   stopped DIRECTORY the same, but the server answers nobody from before the refused calls until they came back
 *   fault             a call is refused while the stack lies in memory that another thread serves by userfaultfd
 *   nobody            the same, but nobody serves it until the call has come back
 * Ends with 0 when every call was answered as it should, 77 where this cannot be had here.
 */
#include "case.h"

#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define FILE_NODE 2

static char *content;
static size_t content_size;

static void not_here(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(77);
}

/* The refused calls of the program that lies on the file system: about its own file, by mapping and by descriptor. */

static int run_from_there(const char *stand_still)
{
	static const char constant[2 * PAGE] __attribute__((aligned(4096))) = { 1 };
	int fd = open_self(), refused;

	refuse_exec_gain();
	if (stand_still)
		need(close(creat(stand_still, 0600)) == 0, "a server that stands still");
	refused = mprotect((void *)constant, PAGE, RX) == -1 && errno == EACCES;
	refused += mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES;
	if (stand_still)
		unlink(stand_still);
	printf("%d refused\n", refused);
	return refused != 2;
}

/* The server (Documentation/filesystems/fuse.rst): every answer costs it a traced call, at which it is stopped. */

static void fill(struct fuse_attr *attr, uint64_t node)
{
	attr->ino = node;
	attr->mode = node == FILE_NODE ? S_IFREG | 0755 : S_IFDIR | 0755;
	attr->size = node == FILE_NODE ? content_size : 0;
	attr->nlink = 1;
	attr->blksize = PAGE;
}

static void answer(int device, uint64_t unique, int error, const void *data, size_t size)
{
	static char reply[1 << 21];
	struct fuse_out_header head = { sizeof(head) + size, -error, unique };

	memcpy(reply, &head, sizeof(head));
	if (size)
		memcpy(reply + sizeof(head), data, size);
	if (write(device, reply, head.len) == -1 && errno != ENOENT)
		exit(2);
}

static void serve(int device, const char *stand_still)
{
	static char request[1 << 21];

	for (;;) {
		struct fuse_in_header *head = (void *)request;
		void *in = request + sizeof(*head);
		union {
			struct fuse_init_out init;
			struct fuse_entry_out entry;
			struct fuse_attr_out attr;
			struct fuse_open_out open;
			struct fuse_statfs_out statfs;
		} out;
		size_t size = 0;
		int error = 0;

		if (read(device, request, sizeof(request)) < (ssize_t)sizeof(*head)) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			exit(0);
		}
		while (stand_still && access(stand_still, F_OK) == 0)
			usleep(1000);
		munmap(map(PAGE, RW), PAGE);
		memset(&out, 0, sizeof(out));
		switch (head->opcode) {
		case FUSE_INIT:
			out.init.major = FUSE_KERNEL_VERSION;
			out.init.minor = FUSE_KERNEL_MINOR_VERSION;
			out.init.max_write = PAGE;
			size = sizeof(out.init);
			break;
		case FUSE_LOOKUP:
			error = strcmp(in, "program") ? ENOENT : 0;
			out.entry.nodeid = FILE_NODE;
			fill(&out.entry.attr, FILE_NODE);
			size = sizeof(out.entry);
			break;
		case FUSE_GETATTR:
			fill(&out.attr.attr, head->nodeid);
			size = sizeof(out.attr);
			break;
		case FUSE_OPEN:
		case FUSE_OPENDIR:
			size = sizeof(out.open);
			break;
		case FUSE_STATFS:
			size = sizeof(out.statfs);
			break;
		case FUSE_READ: {
			struct fuse_read_in *read = in;
			size_t left = read->offset < content_size ? content_size - read->offset : 0;

			answer(device, head->unique, 0, content + read->offset, left < read->size ? left : read->size);
			continue;
		}
		case FUSE_FLUSH:
		case FUSE_RELEASE:
		case FUSE_RELEASEDIR:
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT:
			continue;
		default:
			error = ENOSYS;
		}
		answer(device, head->unique, error, &out, error ? 0 : size);
	}
}

static void read_self(void)
{
	int fd = open_self();
	struct stat found;

	need(fstat(fd, &found) == 0, "this program's size");
	content_size = found.st_size;
	content = map(content_size, RW);
	need(read(fd, content, content_size) == (ssize_t)content_size, "a copy of this program");
	close(fd);
}

static int from_own_file_system(const char *folder, int stops)
{
	char options[100], path[4096], mark[4096];
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC), status;
	pid_t server, child;

	not_here(device != -1, "/dev/fuse");
	not_here(unshare(CLONE_NEWNS) == 0, "a mount namespace");
	not_here(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
	snprintf(mark, sizeof(mark), "%s.stop", folder);
	not_here(mount("self_served", folder, "fuse", 0, options) == 0, "mounting it");
	read_self();
	server = fork();
	need(server != -1, "a server");
	if (server == 0)
		serve(device, stops ? mark : NULL);
	close(device);
	snprintf(path, sizeof(path), "%s/program", folder);
	child = fork();
	need(child != -1, "a child");
	if (child == 0) {
		execl(path, "program", "there", stops ? mark : NULL, (char *)NULL);
		_exit(3);
	}
	need(waitpid(child, &status, 0) == child, "its end");
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

/* The stack and what it holds vanish behind the call; the first to touch them waits for `serve_faults`. */

static int fault_fd;
static char *served, *kept;
static size_t served_size = 64 * PAGE;
static pthread_barrier_t registered, called;
static int wait_for_call;

static void *serve_faults(void *unused)
{
	struct uffd_msg message;

	(void)unused;
	pthread_barrier_wait(&registered);
	if (wait_for_call)
		pthread_barrier_wait(&called);
	while (read(fault_fd, &message, sizeof(message)) == sizeof(message)) {
		size_t page = (message.arg.pagefault.address & ~(PAGE - 1)) - (size_t)served;
		struct uffdio_copy copy = { (size_t)served + page, (size_t)kept + page, PAGE, 0, 0 };

		munmap(map(PAGE, RW), PAGE);
		ioctl(fault_fd, UFFDIO_COPY, &copy);
	}
	return NULL;
}

/* On the other stack, which is gone when the call comes back. */
static long call_without_stack(char *page, char *stack)
{
	long result;

	/* madvise(served, served_size, MADV_DONTNEED), then mprotect(page, PAGE, PROT_READ | PROT_EXEC). */
	asm volatile("movq %%rsp, %%r12\n\t"
		     "movq %[stack], %%rsp\n\t"
		     "movq $28, %%rax\n\t"
		     "movq %[start], %%rdi\n\t"
		     "movq %[size], %%rsi\n\t"
		     "movq $4, %%rdx\n\t"
		     "syscall\n\t"
		     "movq $10, %%rax\n\t"
		     "movq %[page], %%rdi\n\t"
		     "movq $4096, %%rsi\n\t"
		     "movq $5, %%rdx\n\t"
		     "syscall\n\t"
		     "movq %%r12, %%rsp\n\t"
		     : "=&a"(result)
		     : [page] "r"(page), [stack] "r"(stack), [start] "m"(served), [size] "m"(served_size)
		     : "rcx", "r11", "r12", "rdi", "rsi", "rdx", "memory");
	return result;
}

static int with_served_stack(int late)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t server;
	char *page = map(PAGE, RW);
	long result;

	wait_for_call = late;
	fault_fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	not_here(fault_fd != -1 && ioctl(fault_fd, UFFDIO_API, &api) == 0, "userfaultfd");
	served = map(served_size, RW);
	kept = map(served_size, RW);
	range.range.start = (size_t)served;
	range.range.len = served_size;
	need(ioctl(fault_fd, UFFDIO_REGISTER, &range) == 0, "registered memory");
	pthread_barrier_init(&registered, NULL, 2);
	pthread_barrier_init(&called, NULL, 2);
	need(pthread_create(&server, NULL, serve_faults, NULL) == 0, "a server");
	pthread_barrier_wait(&registered);
	refuse_exec_gain();
	result = call_without_stack(page, served + served_size / 2);
	if (late)
		pthread_barrier_wait(&called);
	printf("%d refused\n", result == -EACCES);
	return result != -EACCES;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	if (strcmp(name, "there") == 0)
		return run_from_there(argc > 2 ? argv[2] : NULL);
	if (strcmp(name, "fuse") == 0 && argc > 2)
		return from_own_file_system(argv[2], 0);
	if (strcmp(name, "stopped") == 0 && argc > 2)
		return from_own_file_system(argv[2], 1);
	if (strcmp(name, "fault") == 0)
		return with_served_stack(0);
	if (strcmp(name, "nobody") == 0)
		return with_served_stack(1);
	return 2;
}
