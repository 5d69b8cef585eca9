/* A C++ program of many threads: strings, maps, exceptions and containers that pass between them.
 * Its output depends on nothing but its arguments.
 *
 *   crowd THREADS ROUNDS */
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{

struct Job {
    std::string text;
    std::vector<int> numbers;
    std::shared_ptr<std::map<std::string, int>> shared;
};

class Queue
{
  public:
    void put(std::unique_ptr<Job> job)
    {
        std::lock_guard<std::mutex> guard(lock_);
        jobs_.push_back(std::move(job));
        some_.notify_one();
    }
    std::unique_ptr<Job> take()
    {
        std::unique_lock<std::mutex> guard(lock_);
        some_.wait(guard, [this] { return !jobs_.empty(); });
        auto job = std::move(jobs_.front());
        jobs_.pop_front();
        return job;
    }

  private:
    std::mutex lock_;
    std::condition_variable some_;
    std::deque<std::unique_ptr<Job>> jobs_;
};

unsigned long work(Job &job, int round)
{
    unsigned long sum = 0;
    for (char c : job.text)
        sum = sum * 31 + static_cast<unsigned char>(c);
    for (int n : job.numbers)
        sum += static_cast<unsigned long>(n);
    std::unordered_map<int, std::string> index;
    for (int i = 0; i < 50; i++)
        index[i * 7 % 50] = job.text.substr(static_cast<size_t>(i) % 10) + std::to_string(i);
    for (const auto &entry : index)
        sum += entry.second.size() * static_cast<unsigned long>(entry.first);
    try {
        if (round % 5 == 0)
            throw std::out_of_range(job.text);
        sum += job.shared->at("size");
    } catch (const std::out_of_range &error) {
        sum += std::string(error.what()).size();
    }
    return sum;
}

} // namespace

int main(int argc, char **argv)
{
    int threads = argc > 1 ? std::atoi(argv[1]) : 4, rounds = argc > 2 ? std::atoi(argv[2]) : 200;
    std::vector<Queue> queues(static_cast<size_t>(threads));
    std::vector<unsigned long> sums(static_cast<size_t>(threads));
    std::vector<std::thread> pool;
    auto shared = std::make_shared<std::map<std::string, int>>();
    (*shared)["size"] = threads;
    for (int t = 0; t < threads; t++)
        pool.emplace_back([&, t] {
            for (int round = 0; round < rounds; round++)
                sums[static_cast<size_t>(t)] += work(*queues[static_cast<size_t>(t)].take(), round);
        });
    for (int round = 0; round < rounds; round++)
        for (int t = 0; t < threads; t++) {
            auto job = std::make_unique<Job>();
            job->text = "job " + std::to_string(round) + " of thread " + std::to_string(t);
            for (int i = 0; i < 200; i++)
                job->numbers.push_back(i * t + round);
            job->shared = shared;
            queues[static_cast<size_t>(t)].put(std::move(job));
        }
    unsigned long total = 0;
    for (int t = 0; t < threads; t++) {
        pool[static_cast<size_t>(t)].join();
        total += sums[static_cast<size_t>(t)];
    }
    std::printf("%d threads, %d rounds, sum %lu\n", threads, rounds, total);
    return 0;
}
