/* task_queue.c: see task_queue.h. */
#include "task_queue.h"

void task_queue_init(struct task_queue *q)
{
    pthread_mutex_init(&q->mutex, NULL);
    q->head = NULL;
    q->tail = &q->head;
}

void task_queue_destroy(struct task_queue *q)
{
    pthread_mutex_destroy(&q->mutex);
}

bool task_queue_add(struct task_queue *q, lunik_task *task)
{
    bool first = !q->head;

    if (task->pending)
        return false;
    task->pending = 1;
    task->next = NULL;
    *q->tail = task;
    q->tail = &task->next;
    return first;
}

/* With the mutex. */
static void unlink_task(struct task_queue *q, lunik_task **link)
{
    lunik_task *task = *link;

    *link = task->next;
    if (!*link)
        q->tail = link;
    task->pending = 0;
}

bool task_queue_remove(struct task_queue *q, lunik_task *task)
{
    lunik_task **link;
    bool found;

    pthread_mutex_lock(&q->mutex);
    for (link = &q->head; *link && *link != task; link = &(*link)->next)
        ;
    found = *link;
    if (found)
        unlink_task(q, link);
    pthread_mutex_unlock(&q->mutex);
    return found;
}

static lunik_task *pop(struct task_queue *q)
{
    lunik_task *task;

    pthread_mutex_lock(&q->mutex);
    task = q->head;
    if (task)
        unlink_task(q, &q->head);
    pthread_mutex_unlock(&q->mutex);
    return task;
}

static size_t count(struct task_queue *q)
{
    size_t n = 0;

    pthread_mutex_lock(&q->mutex);
    for (const lunik_task *task = q->head; task; task = task->next)
        n++;
    pthread_mutex_unlock(&q->mutex);
    return n;
}

bool task_queue_run(struct task_queue *q)
{
    lunik_task *task;

    for (size_t left = count(q); left && (task = pop(q)); left--)
        task->fn(task);
    return count(q);
}
