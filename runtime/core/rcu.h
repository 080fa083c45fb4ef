/*
 * rcu.h: deferred reclamation (liburcu, membarrier flavour: readers need no fence where the kernel
 * has that call).
 *
 * A vCPU thread is a reader while it carries out an access, but not while it waits for the machine
 * lock. A thread that takes the machine lock is a reader while it holds it; except the loop thread,
 * which keeps the lock while its embedder waits for other things: it is a reader only inside calls
 * that need it (runtime_enter()). Flat views and what they point to are published with atomic
 * stores and freed with rcu_defer() once every reader has gone quiescent. Under the machine lock no
 * thread waits for a grace period without limit.
 */
#ifndef CORE_RCU_H
#define CORE_RCU_H

#include <stdbool.h>
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/urcu-memb.h>

#ifdef __SANITIZE_THREAD__
#define RUNTIME_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RUNTIME_TSAN 1
#endif
#endif

/* Tells ThreadSanitizer about the order a grace period gives, which it can't see. */
#ifdef RUNTIME_TSAN
extern char rcu_tsan_token;
void __tsan_acquire(void *);
void __tsan_release(void *);
#define rcu_note_reader_done() __tsan_release(&rcu_tsan_token)
#define rcu_note_reclaim()     __tsan_acquire(&rcu_tsan_token)
#else
#define rcu_note_reader_done() ((void)0)
#define rcu_note_reclaim()     ((void)0)
#endif

/* The calling thread starts or stops being a reader. Nestable: only the outermost counts. */
void rcu_online(void);
void rcu_offline(void);
/* Declares that the calling thread holds no reference to anything published; does nothing inside a
 * nested read section. For entry points of threads that hold the lock for long. */
void rcu_checkpoint(void);
/* Whether the calling thread is inside a nested read section. */
bool rcu_nested(void);
/* Unregisters a thread that has been a reader and is about to end. */
void rcu_thread_done(void);

/* Whether another thread than the calling one is registered as a reader. */
bool rcu_has_other_readers(void);

/* Calls fn(head) on a reclaimer thread after a grace period. Any thread. What one thread defers is
 * carried out in order; what two threads defer is not. It is never called in a child of a process
 * that had other readers when it forked. */
void rcu_defer(struct rcu_head *head, void (*fn)(struct rcu_head *head));
/* The same without the delay in which the reclaimer gathers more calls: for large memory. */
void rcu_defer_urgent(struct rcu_head *head, void (*fn)(struct rcu_head *head));
/* Waits until everything deferred so far has been reclaimed. Not with the machine lock held. */
void rcu_drain(void);
/* The same for at most ms milliseconds, with the lock or without. Returns true if nothing of what
 * was deferred is left. A checkpoint. Inside a nested read section it returns false at once. */
bool rcu_wait(unsigned ms);
/* How many times the reclaimers have reclaimed something. A thread that notes it before a call that
 * may lack memory sees afterwards whether the call is worth repeating: what was to be waited for
 * may have been reclaimed between the call's failure and the wait. Any thread. */
uint64_t rcu_reclaimed(void);
/* The longest time that a call waits for memory or descriptors that are being reclaimed. That takes
 * microseconds where the reclaimers and readers get a processor, and seconds where they hardly do;
 * no reader waits for the thread that waits here. */
enum { RCU_SHORTAGE_MS = 10 * 1000 };
/* True if sys is a lack of memory or descriptors. */
bool rcu_is_shortage(int sys);
/* To be called when a system call has failed with sys. If that is a lack of memory or descriptors,
 * waits for those being reclaimed, RCU_SHORTAGE_MS at most; returns true if none are left, so that
 * the call is worth repeating once: some may have been reclaimed since it failed. With the lock or
 * without. A checkpoint; errno is sys afterwards. */
bool rcu_shortage_over(int sys);
enum { RCU_RECLAIMERS = 2 };
/* How many reclaimer threads exist, RCU_RECLAIMERS or, where they can't be made, fewer. The first
 * rcu_defer() makes them; they never end. Any thread. */
unsigned rcu_reclaimers(void);
/* Has each of them call fn with a head of its own. Returns how many there are. Any thread. */
unsigned rcu_defer_each(struct rcu_head heads[RCU_RECLAIMERS], void (*fn)(struct rcu_head *head));

#endif
