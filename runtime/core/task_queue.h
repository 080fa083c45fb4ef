/* task_queue.h: tasks that any thread posts and one thread runs. */
#ifndef CORE_TASK_QUEUE_H
#define CORE_TASK_QUEUE_H

#include <pthread.h>

#include "lunik_device.h"

struct task_queue {
    pthread_mutex_t mutex; /* guards the two below, and what its owner says */
    lunik_task *head, **tail;
};

void task_queue_init(struct task_queue *q);
void task_queue_destroy(struct task_queue *q);
/* Appends a task unless it is pending. Returns whether it is now the only one. With the mutex. */
bool task_queue_add(struct task_queue *q, lunik_task *task);
/* Removes a task; returns whether it was pending here. */
bool task_queue_remove(struct task_queue *q, lunik_task *task);
/* Calls the tasks that are pending now. Tasks posted meanwhile wait for the next round, so a task
 * that posts itself again does not starve the loop. Returns whether there are any. */
bool task_queue_run(struct task_queue *q);

#endif
