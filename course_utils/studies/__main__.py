"""python -m course_utils.studies NAME"""

from course_utils.studies.runs import main

if __name__ == "__main__":
    main()
