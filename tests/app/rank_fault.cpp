// Preloaded into the ranks of a training: one of them fails at one of its calls of MPI.
//   RAINCELL_TEST_RANK   which rank it is
//   RAINCELL_TEST_CALL   the number of the call, from 1; 0: none
//   RAINCELL_TEST_FAULT  before: exit(3) instead of it; after: exit(3) once it is made; hang: it never comes
//   back RAINCELL_TEST_CALLS  a file that gets the names of the calls of that rank
#include <dlfcn.h>
#include <mpi.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// A call that is about to be made, in the order of the main thread. What the watchdog calls is not among
/// them, so that they have the same numbers in every run.
class Call {
 public:
  explicit Call(const char* name) {
    static int calls = 0;
    if (variable("OMPI_COMM_WORLD_RANK") != variable("RAINCELL_TEST_RANK")) return;
    const std::string names = variable("RAINCELL_TEST_CALLS");
    if (!names.empty()) std::ofstream(names, std::ios::app) << name << "\n";
    if (++calls != std::atoi(variable("RAINCELL_TEST_CALL").c_str())) return;
    const std::string fault = variable("RAINCELL_TEST_FAULT");
    if (fault == "before") std::exit(3);
    while (fault == "hang") ::pause();
    last_ = fault == "after";
  }
  int made(int result) const {
    if (last_) std::exit(3);
    return result;
  }

 private:
  bool last_ = false;
};

}  // namespace

// PMPI_ is MPI's own name of each; it is loaded after this.
#define COUNTED(name, parameters, ...)                                                                  \
  extern "C" int name parameters {                                                                      \
    const Call call(#name);                                                                             \
    return call.made(reinterpret_cast<decltype(&name)>(::dlsym(RTLD_DEFAULT, "P" #name))(__VA_ARGS__)); \
  }

COUNTED(MPI_Init_thread, (int* count, char*** words, int wanted, int* given), count, words, wanted, given)
COUNTED(MPI_Comm_dup, (MPI_Comm comm, MPI_Comm* other), comm, other)
COUNTED(MPI_Allgather,
        (const void* mine, int count, MPI_Datatype kind, void* all, int each, MPI_Datatype as, MPI_Comm comm),
        mine, count, kind, all, each, as, comm)
COUNTED(MPI_Allgatherv,
        (const void* mine, int count, MPI_Datatype kind, void* all, const int* counts, const int* places,
         MPI_Datatype as, MPI_Comm comm),
        mine, count, kind, all, counts, places, as, comm)
COUNTED(MPI_Alltoallv,
        (const void* mine, const int* counts, const int* places, MPI_Datatype kind, void* all,
         const int* each, const int* from, MPI_Datatype as, MPI_Comm comm),
        mine, counts, places, kind, all, each, from, as, comm)
COUNTED(MPI_Bcast, (void* bytes, int count, MPI_Datatype kind, int root, MPI_Comm comm), bytes, count, kind,
        root, comm)
COUNTED(MPI_Barrier, (MPI_Comm comm), comm)
COUNTED(MPI_Finalize, (), )
