// Where the threads of this process are, for whoever has to find out why it got stuck.
#pragma once

namespace raincell::app {

/// Once, while nothing is stuck: print_threads() then loads nothing any more.
void prepare_thread_dump();
/// To stderr: each thread with its state and what it waits in, and where the main thread is in the program,
/// where that can be had within a second. Called from any thread but the main one; uses SIGURG.
void print_threads();

}  // namespace raincell::app
