// Bounds of what clients and agents can make vernierd keep.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vernier::server {

// Everything a client can size.
struct Limits {
  int64_t max_waiting_jobs = 10'000;          // jobs that have not ended, per tenant
  int64_t max_jobs = 100'000;                 // jobs kept, per tenant; ended ones are deleted by their owner
  int64_t max_events_per_job = 10'000;        // newest kept
  int64_t max_points_per_stage = 200'000;     // newest steps kept
  int64_t max_spec_bytes = int64_t{4} << 20;  // of the effective JobSpec
  int64_t max_named_things = 100'000;         // datasets, models, adapters: each, per tenant
  int max_generations = 64;                   // at a time, waiting ones included
  int max_agents = 1'000;
};

// Texts that come from tasks and agents are cut to these.
inline constexpr size_t kMaxReasonBytes = 8192;
inline constexpr size_t kMaxNoteBytes = 512;
inline constexpr int kMaxNotes = 32;    // of a stage, and of a data report
inline constexpr int kMaxValues = 128;  // of a metric point, and of a stage's results

inline constexpr int kMaxPage = 1000;  // what a list request may ask for

}  // namespace vernier::server
